"""The report on films without grades: what was found on each, contact sheets, and a table for readers to correct."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from pipelines.hand_foot_scoring.evaluation import pictures
from pipelines.hand_foot_scoring.evaluation.film_reading import LEGEND, FilmReading
from pipelines.hand_foot_scoring.evaluation.report_page import Report
from pipelines.hand_foot_scoring.film_sites import film_sites
from pipelines.hand_foot_scoring.films import LimbFilm
from pipelines.hand_foot_scoring.scoring import Cell, NotScored, Reason, Scored
from pipelines.hand_foot_scoring.training.data import own_table
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm

HEADING = ("film", "pixels", "taken for", "total", "cells scored", "not evaluable", "refused or remarked")
_STATES = {Reason.PROSTHESIS: "prosthesis", Reason.COVERED: "covered"}


def row(one: FilmReading, folder: Path) -> tuple[str, ...]:
    """What was found on a film, as texts under `HEADING`."""
    maximum = sum(cell.maximum for cell in one.cells)
    reasons = "; ".join(f"{count} x {reason}" for reason, count in one.reasons.items())
    return (
        one.path.relative_to(folder).as_posix() if one.path.is_relative_to(folder) else one.path.name,
        one.size,
        one.shown if one.film is not None else "",
        f"{one.total:.1f} of {maximum}" if one.cells else "",
        f"{one.scored} of {len(one.cells)}" if one.cells else "",
        reasons,
        "; ".join(text for text in (one.refusal, *one.remarks) if text),
    )


class FilmsReport:
    """The report on films that are read one after the other; their pictures are not kept.

    Parameters
    ----------
    folder
        To write to; it is made if missing.
    data
        Where the films lie.
    trained_on
        What the bundle says of itself.
    """

    def __init__(self, folder: Path, data: Path, trained_on: str) -> None:
        self.report = Report(folder, f"Hands and feet: {data.name}")
        self.report.note(f"Bundle: {trained_on}.", LEGEND)
        self.folder, self.data = folder, data
        self._rows: list[tuple[str, ...]] = []
        self._tiles: list[Image.Image] = []
        self._sheets = 0
        self._graded: list[GradedFilm] = []

    def add(self, one: FilmReading) -> None:
        """One more film."""
        self._rows.append(row(one, self.data))
        self._graded += as_graded(one)
        self._tiles.append(pictures.film_tile(one))
        if len(self._tiles) == pictures.COLUMNS * pictures.ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._tiles:
            self._sheets += 1
            name, described = f"films_{self._sheets:02d}", f"Films with squares and grades, sheet {self._sheets}"
            self.report.picture(name, pictures.sheet(self._tiles), described)
        self._tiles = []

    def write(self) -> Path:
        """Write tables and page; returns the page."""
        self._flush()
        self.report.heading("What was found")
        self.report.table(HEADING, self._rows, "films_found")
        own_table.write(self.folder / own_table.TABLE, self._graded)
        self.report.note(
            f"{own_table.TABLE} beside this page has the readings and the places of the joints in the layout “own”:"
            " correct grades and patients, and train or measure with it."
        )
        return self.report.write()


def as_graded(one: FilmReading) -> list[GradedFilm]:
    """The readings of a film as rows of the table "own": whole grades, and where each joint was found.

    Nobody has graded them: they are a start for readers. The patient is the name of the file, without its side.
    """
    if one.refusal:
        return []
    return [_row(one, limb) for limb in one.limbs if not limb.contradictions]


def _row(one: FilmReading, limb: LimbFilm) -> GradedFilm:
    part, side = limb.key
    grades: dict[Cell, float] = {}
    states: dict[str, str] = {}
    for site in film_sites(limb):
        for cell in site.cells:
            reading = one.cells.get(cell)
            if isinstance(reading, Scored):
                grades[cell] = float(round(reading.expected))
            elif isinstance(reading, NotScored) and reading.reason in _STATES:
                states[cell.site] = _STATES[reading.reason]
    grades = {cell: grade for cell, grade in grades.items() if cell.site not in states}
    sites = {site: centre.point for site, centre in limb.reading.limb.centres.items()}
    patient = one.path.stem.removesuffix("_L").removesuffix("_R")
    return GradedFilm(one.path, patient, part, side, grades, one.path.name, sites, states)
