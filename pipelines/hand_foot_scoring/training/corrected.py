"""Results that readers have judged, as films with grades in the layout ``own``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dicom_sr.errors import UNREADABLE
from dicom_sr.series import Instance
from pipelines.hand_foot_scoring import prior
from pipelines.hand_foot_scoring.codes import SVH_ERO, SVH_JSN
from pipelines.hand_foot_scoring.film_sites import tracking_id
from pipelines.hand_foot_scoring.scoring import CELLS, Cell
from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.hand_foot_scoring.training.data import own_table
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData, grey
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm
from pipelines.lab.corrected import CorrectedCase, CorrectedFinding, WrittenCases, has_writing

_NAMES = {
    kind: f"{code.scheme_designator}:{code.value}" for kind, code in (("erosion", SVH_ERO), ("narrowing", SVH_JSN))
}
_FULL = np.iinfo(np.uint16).max

Limb = tuple[str, Part, Side]
"""The picture that it is on, as SOP Instance UID; part and side."""


def write_corrected(folder: Path, cases: Sequence[CorrectedCase]) -> WrittenCases:
    """Write films and ``films.csv``: a grade where a reader accepted or changed it, and the places of the joints.

    A grade that a reader left as it was is rounded to a whole one, as readers grade. Of several readings of a limb the
    last one counts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = WrittenCases("own")
    films: dict[Limb, GradedFilm] = {}
    pictures: dict[str, Path | None] = {}
    for case in cases:
        for limb, film in _limbs(case):
            picture = limb[0]
            if picture not in pictures:
                pictures[picture] = _picture(folder, f"{case.name}-{len(pictures)}", case.images.get(picture), written)
            path = pictures[picture]
            if path is not None:
                films[limb] = GradedFilm(path, case.patient, film.part, film.side, film.grades, case.name, film.sites)
    own_table.write(folder / own_table.TABLE, films.values())
    written.rows = len(films)
    return written


def _limbs(case: CorrectedCase) -> Iterator[tuple[Limb, GradedFilm]]:
    """The limbs of a case that have a grade; their picture is not written yet."""
    said = {finding.tracking_id: finding for finding in case.findings}
    limbs: dict[Limb, list[prior.ReportedSite]] = {}
    try:
        for site in prior.sites(Instance("", "", case.report)):
            limbs.setdefault((site.image, site.site.limb, site.side), []).append(site)
    except UNREADABLE:
        return
    for (picture, part, side), sites in limbs.items():
        grades: dict[Cell, float] = {}
        for one in sites:
            finding = said.get(tracking_id(side, part, one.site.id))
            grades |= {} if finding is None else dict(_grades(finding, part, side, one.site.id))
        if grades and picture:
            places = {one.site.id: one.centre for one in sites if one.centre is not None}
            yield (picture, part, side), GradedFilm(Path(picture), case.patient, part, side, grades, case.name, places)


def _grades(finding: CorrectedFinding, part: Part, side: Side, site: str) -> Iterator[tuple[Cell, float]]:
    for kind in own_table.KINDS:
        cell, value = Cell(side, part, site, kind), finding.values.get(_NAMES[kind])
        if cell in CELLS and isinstance(value, float):
            yield cell, value if _NAMES[kind] in finding.changed else float(np.floor(value + 0.5))


def _picture(folder: Path, name: str, image: Path | None, written: WrittenCases) -> Path | None:
    """The pixels of a film alone, in 16 bits; None where they cannot be had, or may say whose they are."""
    if image is None:
        written.left_out.append(f"{name}: the image is not stored any more")
        return None
    if has_writing(image):
        written.left_out.append(f"{name}: its header says that writing is burned into it")
        return None
    try:
        array = grey(image)
    except UnreadableData:
        written.left_out.append(f"{name}: the image cannot be read")
        return None
    low, high = float(array.min()), float(array.max())
    path = folder / f"{name}.png"
    Image.fromarray(np.rint((array - low) / max(high - low, 1e-6) * _FULL).astype(np.uint16)).save(path)
    return path
