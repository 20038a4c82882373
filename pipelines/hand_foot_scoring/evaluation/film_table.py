"""The report on films without grades: what was found on each, contact sheets, and a table for readers to correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from dicom_sr.series import Instance
from pipelines.hand_foot_scoring import prior
from pipelines.hand_foot_scoring.evaluation import pictures
from pipelines.hand_foot_scoring.evaluation.film_reading import LEGEND, FilmReading
from pipelines.hand_foot_scoring.film_sites import film_sites
from pipelines.hand_foot_scoring.films import LimbFilm
from pipelines.hand_foot_scoring.scoring import Cell, NotScored, Reason, Scored
from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.hand_foot_scoring.training.data import own_table
from pipelines.hand_foot_scoring.training.data.film_files import METAIMAGE, PICTURES, films_in
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm
from pipelines.lab.report_page import Report

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
        f"{one.total:.1f} of {maximum}" if one.scored else "",
        f"{one.scored} of {len(one.cells)}" if one.cells else "",
        reasons,
        "; ".join(text for text in (one.refusal or _why_nothing(one), *one.remarks) if text),
    )


def _why_nothing(one: FilmReading) -> str:
    """Which limbs were not counted and why, or that nothing was scored."""
    return "; ".join(one.contradictions) if one.scored else one.result


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
    reported
        SOPInstanceUID to the readings that reports give of that picture: they go into the table in place of new ones.
    """

    def __init__(
        self, folder: Path, data: Path, trained_on: str, reported: Mapping[str, Sequence[GradedFilm]] | None = None
    ) -> None:
        self._reported = reported or {}
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
        earlier = self._reported.get(one.sop_instance_uid, ())
        self._graded += [replace(film, picture=one.path) for film in earlier] or as_graded(one)
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


def reported(folder: Path) -> dict[str, list[GradedFilm]]:
    """What the reports below a folder say of each picture, by its SOPInstanceUID: whole grades and places.

    They are what the node writes to a destination of kind folder, and `condyle run` to its folder. Of several reports
    on a picture the latest counts.
    """
    reports = [path for path in films_in(folder) if _modality(path) == "SR"]
    found: dict[tuple[str, Part, Side], list[prior.ReportedSite]] = {}
    patients: dict[str, str] = {}
    for path in sorted(reports, key=_made):
        instance = Instance("", "", path)
        limbs: dict[tuple[str, Part, Side], list[prior.ReportedSite]] = {}
        for site in prior.sites(instance):
            if site.image:
                limbs.setdefault((site.image, site.site.limb, site.side), []).append(site)
        found |= limbs
        patients |= dict.fromkeys(
            (image for image, _, _ in limbs), str(instance.header().get("PatientID") or path.stem)
        )
    result: dict[str, list[GradedFilm]] = {}
    for (image, part, side), sites in found.items():
        readings = {cell: reading for site in sites for cell, reading in site.readings.items()}
        grades = {cell: float(round(r.expected)) for cell, r in readings.items() if isinstance(r, Scored)}
        places = {site.site.id: site.centre for site in sites if site.centre is not None}
        film = GradedFilm(Path(image), patients[image], part, side, grades, image, places)
        result.setdefault(image, []).append(film)
    return result


def _modality(path: Path) -> str:
    if path.suffix.lower() in (*PICTURES, *METAIMAGE):
        return ""
    return str(Instance("", "", path).header().get("Modality") or "")


def _made(path: Path) -> str:
    header = Instance("", "", path).header()
    return str(header.get("ContentDate") or "") + str(header.get("ContentTime") or "")


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
