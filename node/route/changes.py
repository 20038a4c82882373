"""How the routes of two configurations differ: which are new, gone or changed, and in what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from node.config import Configuration, Route

MATCHING = ("when", "level")
JOB = ("pipeline", "settings")
PLACE = ("destinations", "shadow", "shadow_folder")
NOT_GIVEN = "as by default"


@dataclass(frozen=True)
class KeyChange:
    """One key of a route that has another value."""

    key: str
    before: str
    after: str


@dataclass(frozen=True)
class RouteChange:
    """One route that is not as it was."""

    name: str
    before: Route | None  # None: it is new
    after: Route | None  # None: it is removed
    keys: tuple[KeyChange, ...] = ()  # of a route that stays

    def touches(self, keys: tuple[str, ...]) -> bool:
        """Whether one of these keys is another."""
        return any(one.key.partition(".")[0] in keys for one in self.keys)

    @property
    def what(self) -> str:
        """In one word."""
        return "new" if self.before is None else "removed" if self.after is None else "changed"

    @property
    def sentences(self) -> tuple[str, ...]:
        """Each change in words."""
        if self.before is None and self.after is not None:
            return (f"route {self.name}: is new, for {self.after.pipeline}",)
        if self.before is not None and self.after is None:
            return (f"route {self.name}: is removed, and {self.before.pipeline} is no longer run by it",)
        return tuple(f"route {self.name}: {one.key}: {one.before} becomes {one.after}" for one in self.keys)


def route_changes(before: Configuration, after: Configuration) -> tuple[RouteChange, ...]:
    """The routes that differ, in their order."""
    found = []
    for name in dict.fromkeys([*before.routes, *after.routes]):
        old, new = before.routes.get(name), after.routes.get(name)
        keys = tuple(_keys(old, new)) if old is not None and new is not None else ()
        if old is None or new is None or keys:
            found.append(RouteChange(name, old, new, keys))
    return tuple(found)


def _keys(old: Route, new: Route) -> Iterator[KeyChange]:
    one, two = old.model_dump(mode="json"), new.model_dump(mode="json")
    for key in one:
        if key in ("when", "settings"):
            yield from _below(key, one[key], two[key])
        elif one[key] != two[key]:
            yield KeyChange(key, shown(one[key]), shown(two[key]))


def _below(above: str, one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[KeyChange]:
    for key in dict.fromkeys([*one, *two]):
        if key not in one or key not in two or one[key] != two[key]:
            told = (shown(of[key]) if key in of else "not there" for of in (one, two))
            yield KeyChange(f"{above}.{key}", *told)


def shown(value: object) -> str:
    """A value of the configuration in one line, near to how it is written."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(of)}" for key, of in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    if value is None:
        return NOT_GIVEN
    return str(value) if value != "" else "''"
