"""The layout of RAM-H1200 (arXiv 2605.05616): 1,200 films of adult hands with bone and erosion masks and grades.

::

    Segmentation/{train,val,test}/<case>.bmp                 whole films
                                 /_annotations_bone_rle.coco.json   a mask of every bone
                                 /_annotations_be_rle.coco.json     masks of erosions
    SvdH_Scoring/SvdH_BE_Scoring/{train,val,test}/_annotation_be_scores.json    film to BE_<joint> to 0..5
                                                 /<case>/<joint>.bmp            crops of joints
    SvdH_Scoring/SvdH_JSN_Scoring/...            /_annotation_jsn_scores.json   film to JSN_<joint> to 0..4
    Metadata.xlsx                                            not read: the case names hold patient and side

A case is called <country>_<centre>_P<patient>_<date>_<number>_<L or R>. Boxes of joints, which the set also has, are
taken from every file in the format of COCO whose categories are called as the joints are: where such a file lies was
not found out. Beside the whole set, a single folder with scores and crops can be read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from pipelines.hand_foot_scoring.scoring import CELLS, Cell, Kind
from pipelines.hand_foot_scoring.sites import Side
from pipelines.hand_foot_scoring.training.data import coco
from pipelines.hand_foot_scoring.training.data.bone_sites import NAMES, sites_of
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.graded_films import (
    GradedFilm,
    GradedSet,
    MarkedErosion,
    Point,
    SetName,
    without_overlap,
)

NAME = "RAM-H1200"
_FINGERS = "TIMRS"  # thumb, index, middle, ring, small finger
# The set grades the trapezium; the score has one grade for trapezium and trapezoid together
EROSION_JOINTS: Mapping[str, str] = {
    "R": "RAD",
    "U": "ULN",
    "L": "LUN",
    "S": "NAV",
    "Tm": "MULT",
    "CMC-T": "MC1B",
    "IP": "IP1",
    **{f"MCP-{letter}": f"MCP{n}" for n, letter in enumerate(_FINGERS, start=1)},
    **{f"PIP-{letter}": f"PIP{n}" for n, letter in enumerate(_FINGERS[1:], start=2)},
}
NARROWING_JOINTS: Mapping[str, str] = {
    **{name: site for name, site in EROSION_JOINTS.items() if name[:3] in ("MCP", "PIP")},
    "CMC-M": "CMC3",
    "CMC-R": "CMC4",
    "CMC-S": "CMC5",
    "STT": "MULTNAV",  # scaphoid, trapezium, trapezoid
    "SC": "CAPNAVLUN",  # scaphoid and capitate
    "SR": "RADCARP",  # scaphoid and radius
}
JOINTS: Mapping[str, str] = {**EROSION_JOINTS, **NARROWING_JOINTS}
SCORES: Mapping[Kind, tuple[str, str, Mapping[str, str]]] = {
    "erosion": ("_annotation_be_scores.json", "BE_", EROSION_JOINTS),
    "narrowing": ("_annotation_jsn_scores.json", "JSN_", NARROWING_JOINTS),
}
FINE = 900  # rows or columns that masks keep: enough to find joints, and many times as fast as thousands
BONES, EROSIONS = "_annotations_bone_rle.coco.json", "_annotations_be_rle.coco.json"
SETS: Mapping[str, SetName] = {"train": "training", "val": "calibration", "validation": "calibration", "test": "test"}
_CASE = re.compile(r"(?P<patient>.+_P\d+)_(?P<date>\d{4,8})_(?P<number>\w+?)_(?P<side>[LR])")
_SHORT_CASE = re.compile(r"(?P<patient>\d+)(_\d+)*_(?P<side>[LR])")  # as the older set RAM-W600 has them


def read(folder: Path, *, places: bool = True) -> GradedSet:
    """The films of the whole set or of a part of it, each with what was found of it.

    The published division is kept as far as no patient is in two sets; see `without_overlap`.

    Parameters
    ----------
    folder
        The set, a folder that holds it, or a folder with scores and crops.
    places
        Whether to find the places of the sites by the masks of the bones; takes about half a second a film.

    Raises
    ------
    UnreadableData
        If nothing of the set is there, or a file of it is not as it should be; the message names file and entry.
    """
    scores = {kind: sorted(folder.rglob(name)) for kind, (name, _, _) in SCORES.items()}
    bones, erosions = sorted(folder.rglob(BONES)), sorted(folder.rglob(EROSIONS))
    if not any(scores.values()) and not bones:
        names = [name for name, _, _ in SCORES.values()]
        raise UnreadableData(f"{folder} has no {', no '.join([*names, BONES])}, here or below")
    cases: dict[str, _Case] = {}
    left_out: Counter[str] = Counter()
    for kind, paths in scores.items():
        for path in paths:
            _add_scores(path, kind, cases, left_out)
    for path in bones:
        _add_films(path, cases, places)
    for path in erosions:
        _add_erosions(path, cases)
    if places:
        _add_boxes(folder, (*bones, *erosions), cases)
    whole = {path.stem: path for split in SETS for path in folder.rglob(f"{split}/*.bmp")}
    films = [case.film(whole) for _, case in sorted(cases.items())]
    kept, twice = without_overlap(film for film in films if film is not None)
    if not kept:
        raise UnreadableData(f"{folder} has tables of {NAME} but none of the pictures that they name")
    remarks = [f"{count} grades of {key}: the score has no such joint" for key, count in sorted(left_out.items())]
    missing = sum(film is None for film in films)
    if missing:
        remarks.append(f"{missing} films that the tables name have neither a picture nor crops")
    if twice:
        remarks.append(
            f"{len(twice)} patients are in two sets of the published division; they were left in the later one of"
            " training, calibration, test"
        )
    return GradedSet(NAME, kept, tuple(remarks))


class _Case:
    """One film, as its files tell it piece by piece."""

    def __init__(self, name: str, place: str) -> None:
        found = _CASE.fullmatch(name) or _SHORT_CASE.fullmatch(name)
        if found is None:
            raise UnreadableData(
                f"{place}: {name!r} is no name of a case; expected country_centre_Pnumber_date_number_side, as in"
                " JP_HMCRD_P0001_20210203_6791_L"
            )
        self.name, self.place = name, place
        self.patient: str = found["patient"]
        self.side: Side = "L" if found["side"] == "L" else "R"
        self.grades: dict[Cell, float] = {}
        self.crops: dict[str, Path] = {}
        self.sites: dict[str, Point] = {}
        self.boxes: dict[str, Point] = {}
        self.erosions: list[MarkedErosion] = []
        self.split: SetName | None = None

    def film(self, whole: Mapping[str, Path]) -> GradedFilm | None:
        """What is known of the film; None where neither it nor a crop of it is there."""
        picture = whole.get(self.name)
        if picture is None and not self.crops:
            return None
        return GradedFilm(
            picture or Path(f"{self.name}.bmp"),
            self.patient,
            "hand",
            self.side,
            self.grades,
            self.name,
            {**self.boxes, **self.sites},
            {},
            self.split,
            self.crops,
            tuple(self.erosions),
        )


def _case(cases: dict[str, _Case], picture: str, path: Path) -> _Case:
    name = Path(picture).stem
    case = cases.setdefault(name, _Case(name, str(path)))
    split = SETS.get(path.parent.name)
    if case.split is not None and split is not None and split != case.split:
        raise UnreadableData(f"{path}: {picture} is in {path.parent.name} here and in another set in {case.place}")
    case.split = case.split or split
    return case


def _add_scores(path: Path, kind: Kind, cases: dict[str, _Case], left_out: Counter[str]) -> None:
    _, prefix, joints = SCORES[kind]
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        rows = [(picture, key, grade) for picture, grades in table.items() for key, grade in grades.items()]
    except (ValueError, AttributeError) as error:
        raise UnreadableData(f"{path}: is not a table of film, joint and grade") from error
    for picture, key, grade in rows:
        case = _case(cases, picture, path)
        name = str(key).removeprefix(prefix)
        if name not in joints:
            left_out[str(key)] += 1
            continue
        cell = Cell(case.side, "hand", joints[name], kind)
        assert cell in CELLS
        if isinstance(grade, bool) or not isinstance(grade, int | float) or not 0 <= grade <= cell.maximum:
            raise UnreadableData(f"{path}: {picture}, {key}: {grade!r} is not a grade from 0 to {cell.maximum}")
        case.grades[cell] = float(grade)
        crop = path.parent / case.name / f"{name}.bmp"
        if crop.is_file():
            case.crops.setdefault(cell.site, crop)


def _add_films(path: Path, cases: dict[str, _Case], places: bool) -> None:
    for picture, objects in coco.read(path).items():
        case = _case(cases, picture, path)
        if not places:
            continue
        step = 1
        masks: dict[str, coco.Mask] = {}
        for annotation in objects:
            if annotation.name not in NAMES:
                continue
            try:
                mask = annotation.mask()
            except ValueError as error:
                raise UnreadableData(f"{path}: {picture}: {error}") from error
            step = max(1, round(max(mask.shape) / FINE))
            coarse = mask[::step, ::step]
            masks[annotation.name] = coarse | masks[annotation.name] if annotation.name in masks else coarse
        case.sites = {site: (step * x, step * y) for site, (x, y) in sites_of(masks).items()}


def _add_erosions(path: Path, cases: dict[str, _Case]) -> None:
    for picture, objects in coco.read(path).items():
        case = _case(cases, picture, path)
        for annotation in objects:
            try:
                rows, columns = np.nonzero(annotation.mask())
            except ValueError as error:
                raise UnreadableData(f"{path}: {picture}: {error}") from error
            if rows.size:
                centre = (float(columns.mean()), float(rows.mean()))
                case.erosions.append(MarkedErosion(centre, int(rows.size), annotation.name))


def _add_boxes(folder: Path, known: Iterable[Path], cases: dict[str, _Case]) -> None:
    """The middles of the boxes round joints, from every file whose categories are joints."""
    for path in sorted(set(folder.rglob("*.json")) - set(known)):
        if len(coco.categories(path) & set(JOINTS)) < len(JOINTS) // 2:
            continue
        for picture, objects in coco.read(path).items():
            case = cases.get(Path(picture).stem)
            for annotation in objects:
                if case is not None and annotation.name in JOINTS and annotation.box is not None:
                    left, top, width, height = annotation.box
                    case.boxes[JOINTS[annotation.name]] = (left + (width - 1) / 2, top + (height - 1) / 2)
