"""Real data with grades, in the layouts of RAM-H1200 and RA2-DREAM."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from pipelines.hand_foot_scoring.crops import CROP
from pipelines.hand_foot_scoring.scoring import CELLS, Cell
from pipelines.hand_foot_scoring.sites import Part, Side

# Names of the joint crops in RAM-H1200 and our sites. Wrist joints that are scored for narrowing only are not listed:
# how that set names them was not found, so they are left out and counted.
_RAM_SITES = {
    "R": "RAD",
    "U": "ULN",
    "L": "LUN",
    "S": "NAV",
    "Tm": "MULT",
    "CMC-T": "MC1B",
    "IP": "IP1",
    **{f"MCP-{letter}": f"MCP{n}" for n, letter in enumerate("TIMRS", start=1)},
    **{f"PIP-{letter}": f"PIP{n}" for n, letter in enumerate("IMRS", start=2)},
}
_DREAM_LIMBS: Mapping[str, tuple[Side, Part]] = {
    "LH": ("L", "hand"),
    "RH": ("R", "hand"),
    "LF": ("L", "foot"),
    "RF": ("R", "foot"),
}


@dataclass(frozen=True)
class GradedCrop:
    """One joint crop of RAM-H1200."""

    case: str
    cell: Cell  # the side is not known and given as L
    grade: float
    image: NDArray[np.float32]  # (64, 64)


def read_ram(folder: Path) -> tuple[list[GradedCrop], int]:
    """The crops of one split of RAM-H1200 with their grades, and how many grades had no site of ours or no crop.

    The folder holds ``_annotation_be_scores.json`` and ``_annotation_jsn_scores.json`` (picture to ``BE_MCP-T`` ... to
    grade) and one folder of crops per picture.

    Raises
    ------
    FileNotFoundError
        If neither table is there.
    """
    crops: list[GradedCrop] = []
    left_out = 0
    tables = {"BE": folder / "_annotation_be_scores.json", "JSN": folder / "_annotation_jsn_scores.json"}
    if not any(path.exists() for path in tables.values()):
        raise FileNotFoundError(f"{folder} has no _annotation_be_scores.json and no _annotation_jsn_scores.json")
    for prefix, path in tables.items():
        if not path.exists():
            continue
        for picture, grades in json.loads(path.read_text(encoding="utf-8")).items():
            for key, grade in grades.items():
                name = str(key).removeprefix(f"{prefix}_")
                cell = _ram_cell(name, prefix)
                crop = folder / Path(picture).stem / f"{name}.bmp"
                if cell is None or not crop.exists():
                    left_out += 1
                    continue
                crops.append(GradedCrop(Path(picture).stem, cell, float(grade), _crop(crop)))
    return crops, left_out


def _ram_cell(name: str, prefix: str) -> Cell | None:
    cell = Cell("L", "hand", _RAM_SITES.get(name, ""), "erosion" if prefix == "BE" else "narrowing")
    return cell if cell in CELLS else None


def _crop(path: Path) -> NDArray[np.float32]:
    with Pillow.open(path) as image:
        return np.asarray(image.convert("L").resize((CROP, CROP), Pillow.Resampling.BOX), np.float32)


@dataclass(frozen=True)
class GradedPatient:
    """The pictures and grades of one patient of RA2-DREAM."""

    patient: str
    pictures: Mapping[tuple[Side, Part], Path]
    grades: Mapping[Cell, float]


def read_dream(folder: Path) -> Iterator[GradedPatient]:
    """The patients of ``training.csv`` (Patient_ID and a column per cell) with the pictures ``<ID>-LH.jpg`` and so on.

    Raises
    ------
    FileNotFoundError
        If the table is not there.
    """
    table = folder / "training.csv"
    if not table.exists():
        raise FileNotFoundError(f"{folder} has no training.csv")
    with table.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            patient = row["Patient_ID"]
            paths = {limb: folder / f"{patient}-{name}.jpg" for name, limb in _DREAM_LIMBS.items()}
            grades = {cell: float(row[cell.column]) for cell in CELLS if row.get(cell.column) not in (None, "", "NA")}
            yield GradedPatient(patient, {limb: path for limb, path in paths.items() if path.exists()}, grades)


def grey(path: Path) -> NDArray[np.float32]:
    """(H, W) grey values of a picture file."""
    with Pillow.open(path) as image:
        return np.asarray(image.convert("L"), np.float32)
