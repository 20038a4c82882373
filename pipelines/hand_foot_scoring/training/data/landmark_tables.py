"""Hands with labelled landmarks, in the layouts of the two public sets.

`hand-joints-rsna`: ``coord_list.csv`` with 15 named joint centres in pixels beside PNG pictures.
`hand-landmarks-dha`: ``landmarks.csv`` without a heading, a number and 37 points per line, beside MetaImage files.

The tables name no side; `side_of` tells it from the points.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.simulation.marked import Use
from pipelines.hand_foot_scoring.sites import SITES, Part, Side
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData, grey
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm, GradedSet, Point

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
    path: Path = Path()  # the file


def read(folder: Path) -> GradedSet:
    """The pictures of a folder as films without grades: for training the localiser.

    Raises
    ------
    UnreadableData
        As `labelled` does.
    """
    films = [
        GradedFilm(
            picture.path,
            picture.path.stem.removesuffix("_L").removesuffix("_R"),
            "hand",
            side_of(picture.sites),
            {},
            picture.path.name,
            {site: point for site, point in picture.sites.items() if site in SITES["hand"]},
        )
        for picture in labelled(folder)
    ]
    return GradedSet(folder.name, tuple(films))


def side_of(sites: Mapping[str, Point]) -> Side:
    """Which hand it is, seen from its back: the index finger of a left one lies clockwise of the little one."""
    up = np.subtract(sites["MCP3"], sites["ULN"])
    across = np.subtract(sites["MCP2"], sites["MCP5"])
    return "L" if up[0] * across[1] - up[1] * across[0] > 0 else "R"


def labelled(folder: Path) -> Iterator[Labelled]:
    """The labelled pictures of a folder in either layout; rows whose picture is missing are skipped.

    Raises
    ------
    UnreadableData
        If the folder has neither table, or no picture of those in it.
    """
    table, plain = (folder / name for name in TABLES)
    if not table.exists() and not plain.exists():
        raise UnreadableData(f"{folder} has neither coord_list.csv nor landmarks.csv, nor a picture that is marked")
    pictures = list(_rsna(table) if table.exists() else _dha(plain))
    if not pictures:
        raise UnreadableData(f"{folder} has a table of landmarks but none of its pictures")
    yield from pictures


def _rsna(table: Path) -> Iterator[Labelled]:
    with table.open(newline="") as stream:
        for row in csv.DictReader(stream):
            path = table.parent / row["img_id"]
            if not path.exists():
                continue
            points = {site: (float(row[f"{name}_x"]), float(row[f"{name}_y"])) for name, site in RSNA_SITES.items()}
            length = TIP_OVER_PIP3 * _distance(points["PIP3"], points["LUN-RAD"])
            yield Labelled(path.name, grey(path), points, length, None, path=path)


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
            yield Labelled(path.stem, grey(path), points, length, spacing, path=path)


def _point(pair: NDArray[np.float64]) -> Point:
    return float(pair[0]), float(pair[1])


def _distance(a: Point, b: Point) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))
