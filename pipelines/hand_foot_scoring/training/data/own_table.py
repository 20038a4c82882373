"""A site's own grades: a CSV table with one row for each limb on each film.

Columns: `picture` (path, relative to the table), `patient`, `part` (hand or foot), `side` (L or R), optionally `set`
(training, calibration or test) and `remark`; then for each site as `pipelines.svh_sites` calls it `MCP2_erosion`,
`MCP2_narrowing`, `MCP2_x`, `MCP2_y`. A grade is a number, half grades of two readers among them; an empty field is a
cell that was not graded; `prosthesis`, `covered` or `absent` says why a joint has no grade. Places are column and row
of the joint's centre in pixels, the centre of the upper left pixel at (0, 0); they may be left out.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from pipelines.hand_foot_scoring.scoring import CELLS, Cell, Kind
from pipelines.hand_foot_scoring.sites import SITES, Part, Side
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.graded_films import (
    NOT_READABLE,
    SETS,
    GradedFilm,
    GradedSet,
    Point,
    SetName,
)

TABLE = "films.csv"
FIXED = ("picture", "patient", "part", "side")
OPTIONAL = ("set", "remark")
ALL_SITES = tuple(dict.fromkeys((*SITES["hand"], *SITES["foot"])))
KINDS: tuple[Kind, ...] = ("erosion", "narrowing")
_SCORED = {(cell.site, cell.kind) for cell in CELLS}
GRADES = {f"{site}_{kind}": (site, kind) for site in ALL_SITES for kind in KINDS if (site, kind) in _SCORED}
PLACES = {f"{site}_{axis}": (site, axis) for site in ALL_SITES for axis in "xy"}


def columns() -> list[str]:
    """Every column of the table, in the order in which it is written."""
    of_sites = [
        name for site in ALL_SITES for name in (*(f"{site}_{kind}" for kind in KINDS), f"{site}_x", f"{site}_y")
    ]
    return [*FIXED, *OPTIONAL, *(name for name in of_sites if name in GRADES or name in PLACES)]


def read(folder: Path) -> GradedSet:
    """The films of `films.csv` in a folder, or of a table whose path is given.

    Raises
    ------
    UnreadableData
        If something in it is not as it should be; the message names file, row and column.
    """
    path = folder if folder.suffix.lower() == ".csv" else folder / TABLE
    if not path.is_file():
        raise UnreadableData(f"{path}: there is no such table")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableData(f"{path}: is not UTF-8; save it as CSV UTF-8") from error
    delimiter = ";" if ";" in text.partition("\n")[0] else ","  # spreadsheets with a decimal comma write semicolons
    rows = list(csv.reader(text.splitlines(), delimiter=delimiter))
    heading = [name.strip() for name in rows[0]] if rows else []
    _check_heading(path, heading)
    films: list[GradedFilm] = []
    seen: dict[tuple[Path, Part, Side], int] = {}
    for number, fields in enumerate(rows[1:], start=2):
        if not any(field.strip() for field in fields):
            continue
        if len(fields) > len(heading):
            raise UnreadableData(f"{path}, row {number}: has {len(fields)} fields, the heading has {len(heading)}")
        row = dict(zip(heading, (field.strip() for field in fields), strict=False))
        film = _Row(path, number, row, delimiter == ";").film()
        key = (film.picture, film.part, film.side)
        if key in seen:
            raise UnreadableData(
                f"{path}, row {number}: the {film.side} {film.part} on {film.picture.name} is in row {seen[key]} too"
            )
        seen[key] = number
        films.append(film)
    if not films:
        raise UnreadableData(f"{path}: has no row below its heading")
    return GradedSet(path.parent.name if path.name == TABLE else path.stem, tuple(films))


def _check_heading(path: Path, heading: list[str]) -> None:
    known = {*FIXED, *OPTIONAL, *GRADES, *PLACES}
    missing = [name for name in FIXED if name not in heading]
    if missing:
        raise UnreadableData(f"{path}, row 1: has no column {' and no column '.join(missing)}")
    for name in heading:
        if name and name not in known:
            close = get_close_matches(name, known, 1, 0.7)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UnreadableData(f"{path}, row 1, column {name}: is no column of this table{hint}")
    twice = next((name for name in heading if name and heading.count(name) > 1), None)
    if twice is not None:
        raise UnreadableData(f"{path}, row 1, column {twice}: is there more than once")


class _Row:
    """One row of the table."""

    def __init__(self, path: Path, number: int, row: Mapping[str, str], decimal_comma: bool) -> None:
        self.path, self.number, self.row, self.decimal_comma = path, number, row, decimal_comma

    def wrong(self, column: str, sentence: str) -> UnreadableData:
        return UnreadableData(f"{self.path}, row {self.number}, column {column}: {sentence}")

    def film(self) -> GradedFilm:
        part = cast(Part, self._choice("part", ("hand", "foot")))
        side = cast(Side, self._choice("side", ("L", "R")))
        patient = self._needed("patient")
        picture = self.path.parent / self._needed("picture")
        if not picture.is_file():
            raise self.wrong("picture", f"there is no {picture}")
        asked = self._choice("set", ("", *SETS)) if "set" in self.row else ""
        grades, states = self._grades(part, side)
        return GradedFilm(
            picture,
            patient,
            part,
            side,
            grades,
            f"{self.path.name}, row {self.number}",
            self._places(part),
            states,
            cast(SetName, asked) if asked else None,
        )

    def _needed(self, column: str) -> str:
        value = self.row.get(column, "")
        if not value:
            raise self.wrong(column, "is empty")
        return value

    def _choice(self, column: str, allowed: tuple[str, ...]) -> str:
        value = self.row.get(column, "")
        if value not in allowed:
            raise self.wrong(column, f"{value!r}: should be {' or '.join(name for name in allowed if name)}")
        return value

    def _number(self, column: str, value: str) -> float:
        try:
            return float(value.replace(",", ".") if self.decimal_comma else value)
        except ValueError:
            raise self.wrong(column, f"{value!r} is not a number") from None

    def _grades(self, part: Part, side: Side) -> tuple[dict[Cell, float], dict[str, str]]:
        grades: dict[Cell, float] = {}
        states: dict[str, str] = {}
        for column, (site, kind) in GRADES.items():
            value = self.row.get(column, "")
            if not value:
                continue
            cell = Cell(side, part, site, kind)
            if cell not in CELLS:
                raise self.wrong(column, f"a {part} has no such score")
            if value.lower() in NOT_READABLE:
                states[site] = value.lower()
                continue
            grade = self._number(column, value)
            if not 0 <= grade <= cell.maximum:
                raise self.wrong(
                    column,
                    f"{value} is out of range: grades here go from 0 to {cell.maximum}, or are one of "
                    f"{', '.join(NOT_READABLE)}",
                )
            grades[cell] = grade
        mixed = next((cell for cell in grades if cell.site in states), None)
        if mixed is not None:
            raise self.wrong(f"{mixed.site}_{mixed.kind}", f"has a grade although the joint is {states[mixed.site]}")
        return grades, states

    def _places(self, part: Part) -> dict[str, Point]:
        places: dict[str, Point] = {}
        for site in SITES[part]:
            x, y = (self.row.get(f"{site}_{axis}", "") for axis in "xy")
            if bool(x) != bool(y):
                raise self.wrong(f"{site}_{'y' if x else 'x'}", "is empty although its other half is given")
            if x:
                places[site] = (self._number(f"{site}_x", x), self._number(f"{site}_y", y))
        foreign = next(
            (name for name, (site, _) in PLACES.items() if self.row.get(name) and site not in SITES[part]), ""
        )
        if foreign:
            raise self.wrong(foreign, f"a {part} has no such joint")
        return places


def write(path: Path, films: Iterable[GradedFilm]) -> None:
    """Write films as such a table; pictures are named relative to it where they lie below its folder."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns(), restval="")
        writer.writeheader()
        for film in films:
            writer.writerow(_fields(path.parent.absolute(), film))


def _fields(folder: Path, film: GradedFilm) -> dict[str, str]:
    picture = film.picture.absolute()
    row = {
        "picture": str(picture.relative_to(folder) if picture.is_relative_to(folder) else picture),
        "patient": film.patient,
        "part": film.part,
        "side": film.side,
        "set": film.asked_set or "",
    }
    row |= {f"{cell.site}_{cell.kind}": f"{grade:g}" for cell, grade in film.grades.items()}
    for site, state in film.states.items():
        row |= {f"{site}_{kind}": state for kind in KINDS if Cell(film.side, film.part, site, kind) in CELLS}
    for site, (x, y) in film.sites.items():
        row |= {f"{site}_x": f"{x:.1f}", f"{site}_y": f"{y:.1f}"}
    return row
