"""Hands and feet with known sites, and what the localiser makes of them.

A folder may have either table of `training.data.landmark_tables`, and below it pictures that `simulation.marked` knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.simulation.marked import Use, marked
from pipelines.hand_foot_scoring.sites import SITES, Part
from pipelines.hand_foot_scoring.training.data.graded_films import Point
from pipelines.hand_foot_scoring.training.data.landmark_tables import TABLES, Labelled, labelled


@dataclass(frozen=True)
class Row:
    """How far one site was found from its label. Errors are None where the site was not found."""

    picture: str
    part: Part
    use: Use
    limb: str | None  # "L hand": what was found there; None where no limb of this part was found
    site: str
    found: bool
    error_px: float | None
    error_mm: float | None  # None where the pixel size is unknown
    error_limb_length: float | None


def _point(pair: NDArray[np.float64]) -> Point:
    return float(pair[0]), float(pair[1])


def _distance(a: Point, b: Point) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


SCORED_VIEWS = ("pa", "dp")  # a limb in another view is refused or flagged, not measured


def read_marked(folder: Path) -> Iterator[Labelled]:
    """The pictures below a folder that `simulation.marked` has marks of, in the views that are scored.

    Raises
    ------
    OtherPicture
        If a picture has the name of a marked one and is another.
    """
    for marks in marked():
        if marks.view not in SCORED_VIEWS or marks.length is None:
            continue
        image = marks.read(folder)
        if image is not None:
            sites = {site: point for site, point in marks.sites.items() if site in SITES[marks.part]}
            yield Labelled(marks.name, image, sites, marks.length, None, marks.part, marks.use)


def measure(picture: Labelled, limbs: tuple[Limb, ...]) -> list[Row]:
    """One row per labelled site, against the hand or foot nearest to the labels; without one nothing is found."""
    same = [limb for limb in limbs if limb.part == picture.part]
    middle = _point(np.mean(list(picture.sites.values()), axis=0))
    limb = min(same, key=lambda one: _distance(_middle(one), middle), default=None)
    named = None if limb is None else f"{limb.side} {limb.part}"
    rows = []
    for site, label in picture.sites.items():
        found = None if limb is None else _found(limb, site)
        if found is None:
            rows.append(Row(picture.name, picture.part, picture.use, named, site, False, None, None, None))
            continue
        error = _distance(found, label)
        mm = None if picture.pixel_mm is None else error * picture.pixel_mm
        share = error / picture.length
        rows.append(Row(picture.name, picture.part, picture.use, named, site, True, error, mm, share))
    return rows


def _middle(limb: Limb) -> Point:
    return _point(np.mean(list(limb.expected.values()), axis=0))


CARPAL_SHARE = 2 / 3


def _found(limb: Limb, site: str) -> Point | None:
    """Where a site, or the point between two bones ("LUN-RAD"), was found."""
    points = [centre.point for name in site.split("-") if (centre := limb.centres.get(name)) is not None]
    if len(points) != len(site.split("-")):
        return None
    weights = [1.0] if len(points) == 1 else [CARPAL_SHARE, 1 - CARPAL_SHARE]
    return _point(np.average(points, axis=0, weights=weights))


def measure_folder(folder: Path, finder: Finder) -> list[Row]:
    """The rows of every marked picture below a folder, and of every picture of its table if it has one.

    Raises
    ------
    UnreadableData
        If there is nothing to measure.
    """
    pictures = list(read_marked(folder))
    if not pictures or any((folder / name).exists() for name in TABLES):
        pictures += labelled(folder)
    return [row for picture in pictures for row in measure(picture, finder.find(picture.image).limbs)]


@dataclass(frozen=True)
class Summary:
    """The yardstick: how many sites lie within 4 % of hand or foot length, and how far off they are."""

    sites: int
    found: int
    within_4_percent: float  # share of all labelled sites; one not found does not lie within
    median: float  # of the found, in limb lengths
    worst: float  # of the found, in limb lengths


def summarise(rows: list[Row]) -> Summary:
    """Sum the rows of some pictures up."""
    errors = [row.error_limb_length for row in rows if row.error_limb_length is not None]
    near = sum(error <= 0.04 for error in errors)
    median, worst = (float(np.median(errors)), max(errors)) if errors else (float("nan"), float("nan"))
    return Summary(len(rows), len(errors), near / max(1, len(rows)), median, worst)
