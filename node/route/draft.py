"""Routes that are being written: their mistakes, each with its line, and the configuration that they would make."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from node.config import Configuration
from node.config.check_result import CheckResult
from node.config.reading import Reading, read_leniently
from node.config.route_settings import with_settings
from node.config.routes_section import KEY, NoRoutes, RoutesSection, routes_in
from node.errors import ConfigurationError
from node.route import checks

_NUMBERED = re.compile(r"(\d+): (.*)", re.DOTALL)


@dataclass(frozen=True)
class Remark:
    """Something that is said of one line."""

    line: int  # of the text of the routes, from 1
    key: str
    sentence: str  # with the value, and what would be right


@dataclass(frozen=True)
class Draft:
    """Routes that are being written."""

    text: str
    configuration: Configuration | None  # with them; None: there are mistakes
    mistakes: tuple[Remark, ...] = ()
    doubts: tuple[Remark, ...] = ()


def draft(section: RoutesSection, text: str) -> Draft:
    """What is to be said of a text in place of the routes of a configuration file.

    Parameters
    ----------
    section
        The file, and what stands around them.
    text
        The routes, with the line ``routes:``.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        routes_in(text)
        reading = read_leniently(section.path, section.whole(text))
    except NoRoutes as error:
        return Draft(text, None, tuple(map(_numbered, str(error).splitlines())))
    except ConfigurationError as error:  # of the file around them
        return Draft(text, None, (Remark(1, KEY, str(error)),))
    configuration = with_settings(reading.configuration, section.path.absolute().parent)
    found = [one for one in reading.results() if _is_of_routes(one.key)]
    found += [one for one in checks.routes(configuration) if not reading.follows(one)]
    mistakes = _remarks(section, reading, (one for one in found if one.state == "bad"))
    doubts = _remarks(section, reading, (one for one in found if one.state == "doubtful"))
    return Draft(text, None if mistakes else configuration, mistakes, doubts)


def _is_of_routes(key: str) -> bool:
    return key == KEY or key.startswith(f"{KEY}.")


def _remarks(section: RoutesSection, reading: Reading, results: Iterable[CheckResult]) -> tuple[Remark, ...]:
    remarks = {
        (one.key, one.sentence): Remark(
            max(1, (reading.file.line(one.key) or 1) - section.lines_before),
            one.key,
            one.sentence.removeprefix(f"{one.key}: "),
        )
        for one in results
    }
    return tuple(sorted(remarks.values(), key=lambda one: one.line))


def _numbered(line: str) -> Remark:
    found = _NUMBERED.fullmatch(line)
    return Remark(int(found[1]), KEY, found[2]) if found else Remark(1, KEY, line)
