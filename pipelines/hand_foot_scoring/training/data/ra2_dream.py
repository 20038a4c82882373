"""The layout of RA2-DREAM: ``training.csv`` with a row per patient, and the pictures of hands and feet beside it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from pipelines.hand_foot_scoring.scoring import CELLS, Cell
from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm, GradedSet

TABLE = "training.csv"
LIMBS: Mapping[str, tuple[Side, Part]] = {
    "LH": ("L", "hand"),
    "RH": ("R", "hand"),
    "LF": ("L", "foot"),
    "RF": ("R", "foot"),
}
_NOT_GRADED = ("", "NA")


def read(folder: Path) -> GradedSet:
    """The films ``<Patient_ID>-LH.jpg`` and so on that lie beside the table, with a grade for each cell.

    Raises
    ------
    UnreadableData
        If the table, a column or every picture is missing, or a grade is none.
    """
    table = folder / TABLE
    if not table.is_file():
        raise UnreadableData(f"{folder} has no {TABLE}")
    films: list[GradedFilm] = []
    missing = 0
    with table.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if "Patient_ID" not in (reader.fieldnames or ()):
            raise UnreadableData(f"{table}, row 1: has no column Patient_ID")
        for number, row in enumerate(reader, start=2):
            place = f"{TABLE}, row {number}"
            for name, (side, part) in LIMBS.items():
                picture = folder / f"{row['Patient_ID']}-{name}.jpg"
                if not picture.is_file():
                    missing += 1
                    continue
                cells = [cell for cell in CELLS if (cell.side, cell.limb) == (side, part)]
                grades = {
                    cell: grade for cell in cells if (grade := _grade(row, cell, f"{table}, row {number}")) is not None
                }
                films.append(GradedFilm(picture, row["Patient_ID"], part, side, grades, place))
    if not films:
        raise UnreadableData(f"{folder} has a {TABLE} but none of its pictures")
    remarks = (f"{missing} pictures that the table names are missing",) if missing else ()
    return GradedSet("RA2-DREAM", tuple(films), remarks)


def _grade(row: Mapping[str, str | None], cell: Cell, place: str) -> float | None:
    value = (row.get(cell.column) or "").strip()
    if value in _NOT_GRADED:
        return None
    try:
        grade = float(value)
    except ValueError:
        raise UnreadableData(f"{place}, column {cell.column}: {value!r} is not a number") from None
    if not 0 <= grade <= cell.maximum:
        raise UnreadableData(f"{place}, column {cell.column}: {value} is not from 0 to {cell.maximum}")
    return grade
