"""Hands and feet with known sites, and what the localiser makes of them.

A folder may have either table of the two public sets of hands, and below it pictures that `simulation.marked` knows.

`hand-joints-rsna`: ``coord_list.csv`` with 15 named joint centres in pixels beside PNG pictures.
`hand-landmarks-dha`: ``landmarks.csv`` without a heading, a number and 37 points per line, beside MetaImage files.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image as Pillow

from pipelines.hand_foot_scoring.localise import Finder, Limb
from pipelines.hand_foot_scoring.simulation.marked import Use, marked
from pipelines.hand_foot_scoring.sites import SITES, Part

Point = tuple[float, float]
TABLES = ("coord_list.csv", "landmarks.csv")  # of hand-joints-rsna and of hand-landmarks-dha

# Names in coord_list.csv and the site each is. W4 and W5 lie in the joint between lunate and radius and between
# scaphoid and radius: they are held against points between our centres of those bones, nearer to the carpal bone, since
# our centre of the radius is that of its whole end and not of the facet.
RSNA_SITES = {
    "IP": "IP1",
    **{f"PIP{n}": f"PIP{n}" for n in (2, 3, 4, 5)},
    "MP": "MCP1",
    **{f"MCP{n}": f"MCP{n}" for n in (2, 3, 4, 5)},
    "W1": "MC1B",
    "W2": "CMC4",
    "W3": "ULN",
    "W4": "LUN-RAD",
    "W5": "NAV-RAD",
}
# Landmarks (from 0) whose mean is the site. Not every landmark is a scored joint: finger tips, DIP joints, the second
# metacarpal's base and the outlines of single carpal bones are left out.
DHA_SITES = {
    "IP1": (19,),
    "PIP2": (22,),
    "PIP3": (26,),
    "PIP4": (30,),
    "PIP5": (34,),
    "MCP1": (18,),
    "MCP2": (21,),
    "MCP3": (25,),
    "MCP4": (29,),
    "MCP5": (33,),
    "MC1B": (17,),
    "CMC3": (15,),
    "CMC4": (14,),
    "CMC5": (13,),
    "CAPNAVLUN": (10,),
    "MULTNAV": (11, 12),
    "RADCARP": (3, 4, 7, 8),  # half way between the proximal carpal row and the radius
    "RAD": (3, 4),
    "ULN": (0, 2),
}
DHA_TIP, DHA_LUNATE = 28, 7
# tip of the middle finger to the wrist over PIP3 to the wrist: mean adult bone lengths with their joints
TIP_OVER_PIP3 = 1.32


@dataclass(frozen=True)
class Labelled:
    """One picture and where its sites are, in pixels."""

    name: str
    image: NDArray[np.float32]  # (H, W), bone bright
    sites: Mapping[str, Point]
    length: float  # of the limb, pixels, from and to where `sites.REACH_MM` says
    pixel_mm: float | None
    part: Part = "hand"
    use: Use = "measuring"  # or it may have been trained on, and then says little


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


def read(folder: Path) -> Iterator[Labelled]:
    """The labelled pictures of a folder in either layout; rows whose picture is missing are skipped.

    Raises
    ------
    FileNotFoundError
        If the folder has neither table, or no picture of those in it.
    """
    table, plain = (folder / name for name in TABLES)
    if not table.exists() and not plain.exists():
        raise FileNotFoundError(f"{folder} has neither coord_list.csv nor landmarks.csv, nor a picture that is marked")
    pictures = list(_rsna(table) if table.exists() else _dha(plain))
    if not pictures:
        raise FileNotFoundError(f"{folder} has a table of landmarks but none of its pictures")
    yield from pictures


def _rsna(table: Path) -> Iterator[Labelled]:
    with table.open(newline="") as stream:
        for row in csv.DictReader(stream):
            path = table.parent / row["img_id"]
            if not path.exists():
                continue
            points = {site: (float(row[f"{name}_x"]), float(row[f"{name}_y"])) for name, site in RSNA_SITES.items()}
            yield Labelled(
                path.name, _picture(path), points, TIP_OVER_PIP3 * _distance(points["PIP3"], points["LUN-RAD"]), None
            )


def _dha(table: Path) -> Iterator[Labelled]:
    with table.open(newline="") as stream:
        for row in csv.reader(stream):
            path = next(
                (p for ending in ("mha", "mhd", "png") if (p := table.parent / f"{row[0]}.{ending}").exists()), None
            )
            if path is None:
                continue
            marks = np.array(row[1:], np.float64).reshape(-1, 2)
            points = {site: _point(marks[list(which)].mean(axis=0)) for site, which in DHA_SITES.items()}
            spacing = None if path.suffix == ".png" else float(SimpleITK.ReadImage(str(path)).GetSpacing()[0])
            length = _distance(_point(marks[DHA_TIP]), _point(marks[DHA_LUNATE]))
            yield Labelled(path.stem, _picture(path), points, length, spacing)


def _point(pair: NDArray[np.float64]) -> Point:
    return float(pair[0]), float(pair[1])


def _distance(a: Point, b: Point) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


def _picture(path: Path) -> NDArray[np.float32]:
    """(H, W) grey values of a PNG, JPEG or MetaImage file."""
    if path.suffix in (".mha", ".mhd"):
        array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        return np.asarray(np.squeeze(array), np.float32)
    with Pillow.open(path) as image:
        return np.asarray(image.convert("L"), np.float32)


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
    FileNotFoundError
        If there is nothing to measure.
    """
    pictures = list(read_marked(folder))
    if not pictures or any((folder / name).exists() for name in TABLES):
        pictures += read(folder)
    return [row for picture in pictures for row in measure(picture, finder.find(picture.image))]


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
