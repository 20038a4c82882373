"""The section `routes` of a configuration as text: taken out, changed route by route, and put back.

What is not changed keeps its lines as they were written, comments too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from node.config.yaml_file import YamlFile
from node.errors import ConfigurationError

KEY = "routes"
MOST_ALIASES = 16
WIDTH = 110  # columns of what is written
_BEGIN = f"should begin with a line '{KEY}:', below which the routes stand, indented"
_DRAFT = Path("routes")  # what messages about a section call it


class NoRoutes(ConfigurationError):
    """A text that is no section of routes; each line of the message begins with the number of a line in it."""


@dataclass(frozen=True)
class RoutesSection:
    """A configuration file, and its section of routes apart."""

    path: Path
    before: str
    text: str  # with its key, ``routes:``
    after: str
    digest: str = ""  # SHA-256 of the file

    @classmethod
    def of(cls, path: Path) -> RoutesSection:
        """That of a file; empty where it has none.

        Raises
        ------
        ConfigurationError
            If the file is no YAML.
        """
        file = YamlFile(path)
        return replace(cls.in_text(path, file.text), digest=file.digest)

    @classmethod
    def in_text(cls, path: Path, text: str) -> RoutesSection:
        """That of a text which `YamlFile` has read."""
        pairs = _pairs(yaml.compose(text))
        places = [index for index, (key, _) in enumerate(pairs) if key.value == KEY]
        if not places:
            return cls(path, text if text.endswith("\n") else f"{text}\n", f"{KEY}: {{}}\n", "")
        start = pairs[places[0]][0].start_mark.index
        end = pairs[places[0] + 1][0].start_mark.index if places[0] + 1 < len(pairs) else len(text)
        end = start + len(_without_comments_at_end(text[start:end]))
        return cls(path, text[:start], text[start:end], text[end:])

    @property
    def lines_before(self) -> int:
        """How many lines of the file come before it."""
        return self.before.count("\n")

    def whole(self, text: str) -> str:
        """The file with another section in its place."""
        ended = text if text.endswith("\n") or not text else f"{text}\n"
        return f"{self.before}{ended}{self.after}"


def _without_comments_at_end(text: str) -> str:
    """A section without what is told of the next one."""
    lines = text.splitlines(keepends=True)
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].startswith("#")):
        lines.pop()
    return "".join(lines)


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


# ---- one route after the other
def routes_in(text: str) -> dict[str, dict[str, Any]]:
    """The routes of a section as plain values, by name.

    Raises
    ------
    NoRoutes
        If it is none.
    """
    try:
        if _aliases(text) > MOST_ALIASES:
            raise NoRoutes(f"1: has more than {MOST_ALIASES} aliases (*); write out what they stand for")
        values = YamlFile(_DRAFT, text).values
    except NoRoutes:
        raise
    except ConfigurationError as error:
        if not text.strip():
            raise NoRoutes(f"1: is empty; {_BEGIN}") from error
        raise NoRoutes("\n".join(line.removeprefix(f"{_DRAFT}:") for line in str(error).splitlines())) from error
    if values is None or not isinstance(values, Mapping) or KEY not in values:
        raise NoRoutes(f"1: {_BEGIN}")
    if others := [str(key) for key in values if key != KEY]:
        file = YamlFile(_DRAFT, text)
        line = file.line(others[0]) or 1
        raise NoRoutes(f"{line}: {others[0]}: only routes are changed here; indent it, or take it out")
    routes = values[KEY] or {}
    if not isinstance(routes, Mapping):
        raise NoRoutes("1: routes: should be a section, with a name of your choice for each route")
    return {str(name): dict(route) if isinstance(route, Mapping) else {} for name, route in routes.items()}


def _aliases(text: str) -> int:
    """How many aliases a text has: each may stand for others, and those for others again."""
    try:
        return sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
    except (yaml.YAMLError, RecursionError):
        return 0  # which is told elsewhere


def with_route(text: str, name: str, values: Mapping[str, Any], *, before: str | None = None) -> str:
    """The section with a route that is new, or in place of another.

    Parameters
    ----------
    text
        The section.
    name
        Of the route.
    values
        What stands below its name.
    before
        The name that it has in the text; None: it is new, and comes last.

    Raises
    ------
    NoRoutes
        If the text is no section of routes.
    """
    return _put(text, before, {name: dict(values)})


def without_route(text: str, name: str) -> str:
    """The section without one of its routes.

    Raises
    ------
    NoRoutes
        If the text is no section of routes.
    """
    return _put(text, name, {})


def _put(text: str, before: str | None, instead: Mapping[str, Any]) -> str:
    routes = routes_in(text)
    pairs = _route_pairs(text)
    if not pairs:  # {}, or in a form in which lines are of several routes
        kept: dict[str, Any] = {name: route for name, route in routes.items() if name != before}
        return _dumped({KEY: {**kept, **instead}})
    indentation = pairs[0][0].start_mark.column
    written = "".join(
        f"{' ' * indentation}{line}" if line.strip() else line
        for line in (_dumped(instead) if instead else "").splitlines(keepends=True)
    )
    places = [index for index, (key, _) in enumerate(pairs) if key.value == before]
    if not places:
        return f"{text if text.endswith(chr(10)) else text + chr(10)}{written}"
    start, end = _span(text, pairs, places[0])
    changed = f"{text[:start]}{written}{text[end:]}"
    return changed if instead or len(pairs) > 1 else f"{KEY}: {{}}\n"


def _route_pairs(text: str) -> list[tuple[yaml.Node, yaml.Node]]:
    """Name and content of each route, where each stands on lines of its own."""
    (routes,) = [value for key, value in _pairs(yaml.compose(text)) if key.value == KEY]
    return [] if not isinstance(routes, yaml.MappingNode) or routes.flow_style else _pairs(routes)


def _span(text: str, pairs: list[tuple[yaml.Node, yaml.Node]], index: int) -> tuple[int, int]:
    """From where to where a route stands: whole lines, without what is told of the next one."""
    start = pairs[index][0].start_mark.index - pairs[index][0].start_mark.column
    end = len(text)
    if index + 1 < len(pairs):
        end = pairs[index + 1][0].start_mark.index - pairs[index + 1][0].start_mark.column
    lines = text[start:end].splitlines(keepends=True)
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    return start, start + len("".join(lines))


def _dumped(values: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=WIDTH, default_flow_style=None)
    return text
