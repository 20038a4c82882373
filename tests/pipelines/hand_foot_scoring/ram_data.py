"""A small set in the layout of RAM-H1200, drawn by the simulator: films, masks, boxes, crops and grades."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.films import FILM_MIDDLE_MM
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.radiograph import Exposure, View, expose, path_lengths
from pipelines.hand_foot_scoring.simulation.skeleton import Skeleton
from pipelines.hand_foot_scoring.sites import REACH_MM, Side
from pipelines.hand_foot_scoring.training.data import coco
from pipelines.hand_foot_scoring.training.data.ram_h1200 import EROSION_JOINTS, JOINTS, NARROWING_JOINTS

Mask = NDArray[np.bool_]
SHAPE = (560, 460)
FINGER_BONES = {  # the simulator's names; its triquetrum and pisiform are one in the set
    **{f"ray{n}.{k}": name for n in range(2, 6) for k, name in enumerate((f"MC{n}", f"PP{n}", f"MP{n}", f"DP{n}"))},
    "ray1.0": "MC1",
    "ray1.1": "PP1",
    "ray1.2": "DP1",
}
NAMES = {
    **FINGER_BONES,
    **{name: name.capitalize() for name in ("capitate", "hamate", "lunate", "scaphoid", "trapezium", "trapezoid")},
    "radius": "Radius",
    "ulna": "Ulna",
    "triquetrum": "Pisifrom_Triquetrum",
    "pisiform": "Pisifrom_Triquetrum",
    "sesamoid": "Sesamoid",
}
CATEGORIES = ("bone-6U7D-RuyD", *sorted(set(NAMES.values())), "SoftTissue", "Ring", "Metal Implant")
# case to the set it is published in; the third patient is in two of them
CASES: Mapping[str, str] = {
    "JP_HMCRD_P0001_20210203_6791_L": "train",
    "JP_HMCRD_P0001_20210203_6791_R": "train",
    "JP_SCGH_P0029_20121201_5835_L": "val",
    "JP_SCGH_P0007_20150630_0012_R": "test",
    "JP_SCGH_P0007_20120101_0007_R": "train",
}


@dataclass(frozen=True)
class DrawnHand:
    """A hand with the truth of its bones."""

    image: NDArray[np.uint8]
    skeleton: Skeleton
    view: View
    bones: Mapping[str, Mask]

    @property
    def sites(self) -> dict[str, tuple[float, float]]:
        """Where the simulator put the sites, pixels."""
        names = list(self.skeleton.sites)
        points = self.view.to_pixels(np.array([self.skeleton.sites[name] for name in names]))
        return {name: (float(x), float(y)) for name, (x, y) in zip(names, points, strict=True)}


@cache
def drawn_hand(seed: int, side: Side, ill: bool = True) -> DrawnHand:
    """A hand in the middle of a clean film with a mask of every bone."""
    rng = np.random.default_rng(seed)
    disease = Disease({"MCP2": 3, "PIP3": 2, "ULN": 2}, {"MCP2": 2, "CMC4": 1}) if ill else Disease()
    skeleton = hand(rng, disease, odd=False)
    pixel_mm = REACH_MM["hand"] * skeleton.scale / (0.78 * SHAPE[0])
    view = View(SHAPE, pixel_mm, 0.04, (0.0, 0.0), side == "R")
    middle = view.to_pixels(np.array([FILM_MIDDLE_MM["hand"]]) * skeleton.scale)[0]
    view = replace(view, origin=(SHAPE[1] / 2 - middle[0], 0.51 * SHAPE[0] - middle[1]))
    bones: dict[str, Mask] = {}
    for bone in skeleton.bones:
        name = NAMES.get(bone.name)
        if name is None:
            continue
        alone = replace(skeleton, bones=(bone,), tissue=(), objects=())
        mask = path_lengths(alone, view)[0] > 0.5
        bones[name] = mask | bones[name] if name in bones else mask
    film = expose(skeleton, view, Exposure(noise=0.006, gamma=0.8), rng)
    return DrawnHand(np.asarray(np.clip(film * 190 + 15, 0, 255), np.uint8), skeleton, view, bones)


def ram_set(folder: Path, *, films: bool = True) -> Path:
    """The set as it is published, of `CASES`; without films the folders of scores and crops only."""
    hands = {case: drawn_hand(number, "R" if case.endswith("R") else "L") for number, case in enumerate(CASES)}
    for split in ("train", "val", "test"):
        mine = {case: drawn for case, drawn in hands.items() if CASES[case] == split}
        _scores(folder / "SvdH_Scoring" / "SvdH_BE_Scoring" / split, "BE", EROSION_JOINTS, mine)
        _scores(folder / "SvdH_Scoring" / "SvdH_JSN_Scoring" / split, "JSN", NARROWING_JOINTS, mine)
        if not films:
            continue
        segmentation = folder / "Segmentation" / split
        segmentation.mkdir(parents=True)
        for case, drawn in mine.items():
            Pillow.fromarray(drawn.image).save(segmentation / f"{case}.bmp")
        _write(segmentation / "_annotations_bone_rle.coco.json", mine, CATEGORIES, _bones)
        _write(
            segmentation / "_annotations_be_rle.coco.json", mine, ("SvdH-BE-90", "SvdH-BE-50", "Non-SvdH-BE"), _lesions
        )
        _write(folder / "Joints" / split / "_annotations.coco.json", mine, ("joints", *JOINTS), _boxes)
    (folder / "Metadata.xlsx").write_bytes(b"PK")  # is not read
    return folder


def _scores(folder: Path, prefix: str, joints: Mapping[str, str], hands: Mapping[str, DrawnHand]) -> None:
    table: dict[str, dict[str, int]] = {}
    folder.mkdir(parents=True)
    for case, drawn in hands.items():
        grades = drawn.skeleton.erosion if prefix == "BE" else drawn.skeleton.narrowing
        table[f"{case}.bmp"] = {f"{prefix}_{name}": int(grades[site]) for name, site in joints.items()}
        (folder / case).mkdir()
        for name, site in joints.items():
            left, top, right, bottom = _box(drawn, site)
            crop = Pillow.fromarray(drawn.image).crop((left, top, right, bottom))
            crop.save(folder / case / f"{name}.bmp")
    name = "_annotation_be_scores.json" if prefix == "BE" else "_annotation_jsn_scores.json"
    (folder / name).write_text(json.dumps(table))


def _box(drawn: DrawnHand, site: str) -> tuple[int, int, int, int]:
    x, y = drawn.sites[site]
    half = 12 * drawn.skeleton.scale / drawn.view.pixel_mm
    return round(x - half), round(y - half), round(x + half), round(y + half)


Objects = list[dict[str, Any]]


def _bones(drawn: DrawnHand) -> Objects:
    return [{"name": name, "segmentation": coco.encoded(mask)} for name, mask in drawn.bones.items()]


def _lesions(drawn: DrawnHand) -> Objects:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    x, y = drawn.sites["MCP2"]
    disc = (columns - x - 4) ** 2 + (rows - y) ** 2 <= 25
    return [{"name": "SvdH-BE-90", "segmentation": coco.encoded(disc)}]


def _boxes(drawn: DrawnHand) -> Objects:
    return [
        {"name": name, "bbox": [left, top, right - left, bottom - top]}
        for name, site in JOINTS.items()
        for left, top, right, bottom in (_box(drawn, site),)
    ]


def _write(path: Path, hands: Mapping[str, DrawnHand], categories: tuple[str, ...], objects: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": n, "file_name": f"{case}.bmp", "height": SHAPE[0], "width": SHAPE[1]} for n, case in enumerate(hands)
    ]
    found = [
        {"id": 100 * n + k, "image_id": n, "category_id": categories.index(one.pop("name")), **one}
        for n, drawn in enumerate(hands.values())
        for k, one in enumerate(objects(drawn))
    ]
    named = [{"id": n, "name": name} for n, name in enumerate(categories)]
    path.write_text(json.dumps({"images": images, "categories": named, "annotations": found}))
