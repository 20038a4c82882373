"""The radiographs of a study: what their headers say of part, side and view, and what was read on their pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_sr.errors import UnsuitableInput, of_the_machine
from dicom_sr.findings import ImageReference, LeftAside
from dicom_sr.read.body_parts import LIMB, other_parts, parts_named, side_named
from dicom_sr.read.pixels import Picture, frames
from dicom_sr.read.slices import images_of, left_aside
from dicom_sr.read.views import view_named
from dicom_sr.series import Instance, Series, Study
from dicom_sr.words import counted
from pipelines.hand_foot_scoring.reading import LimbReading, Reader
from pipelines.hand_foot_scoring.scoring import Cell, NotScored, Reading, Reason, Scored
from pipelines.hand_foot_scoring.sights import Sight
from pipelines.hand_foot_scoring.sites import SIDE_NAMES, Part, Side
from pipelines.records.dates import partial_date

MODALITIES = ("DX", "CR", "RG")
PART_OF: dict[str, Part] = {"hand": "hand", "wrist": "hand", "finger": "hand", "foot": "foot", "toe": "foot"}
GROWN_YEARS = 16
MIN_SIGHT = 0.6  # probability from which on a picture is said to show something
READ_ON: Mapping[str, str] = {"hand": "posteroanterior", "foot": "dorsoplantar"}  # the views that the score is read on
BORN_LATER = (
    "The header's birth date lies after the date of the study: the patient's age is not known, and that the joints are"
    " grown was told by the picture alone."
)


@dataclass(frozen=True)
class Header:
    """What a header says, "" or None where it says nothing."""

    part: Part | Literal[""]
    side: Side | Literal[""]
    other_part: str  # what it says where that is neither hand nor foot
    age_years: float | None
    view: Literal["lateral", "oblique", ""] = ""  # one that the score is not read on
    born_later: bool = False  # the birth date lies after the date of the study


def read_header(header: Dataset) -> Header:
    """What a header says of part, side, view and age."""
    named = parts_named(header)
    parts = {PART_OF[part] for part in named if part in PART_OF}
    # where words name hand and foot, or what is neither beside one of them, the picture decides
    part = next(iter(parts)) if len(parts) == 1 and named - {LIMB} <= PART_OF.keys() else ""
    age, born_later = _age(header)
    view = view_named(header)
    other = other_parts(header, PART_OF, of_study=False)
    # frontal is not held against a picture: devices write PA where nobody chose
    turned = view if view == "lateral" or view == "oblique" else ""
    return Header(part, side_named(header) or "", other, age, turned, born_later)


def _age(header: Dataset) -> tuple[float | None, bool]:
    """Years, from PatientAge or completed ones from the dates; and whether the patient was born after the study."""
    age = re.fullmatch(r"(\d{1,3})([YMWD])", str(header.get("PatientAge") or "").strip().upper(), re.ASCII)
    if age:
        return int(age[1]) / {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}[age[2]], False
    born = partial_date(str(header.get("PatientBirthDate") or ""))
    names = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
    dates = (partial_date(str(header.get(name) or "")) for name in names)
    made = next((date for date in dates if date is not None and date.precision == "day"), None)
    if born is None or made is None:
        return None, False
    if made.first < born.first:
        return None, True
    first, last = born.middle, made.first
    years = last.year - first.year - ((last.month, last.day) < (first.month, first.day))
    return float(max(years, 0)), False


def refusal(header: Header) -> str | None:
    """Why an image cannot be scored, from its header alone; None where it may be."""
    if header.other_part:
        return f"the header says {header.other_part}, not a hand or a foot"
    if header.age_years is not None and header.age_years < GROWN_YEARS:
        age = counted(int(header.age_years), "year")
        return f"the patient is {age} old: the score is defined for grown joints, here from {GROWN_YEARS} years on"
    return None


def radiographs(study: Study) -> tuple[tuple[Series, ...], tuple[LeftAside, ...]]:
    """The series of radiographs of a study, and what lies in them and shows nothing."""
    sorted_ = [images_of(series) for series in study.series if series.modality in MODALITIES]
    return tuple(series for series, _ in sorted_), tuple(one for _, aside in sorted_ for one in aside)


def candidates(study: Study) -> Iterator[tuple[Instance, Dataset]]:
    """The radiographs of a study, each with its header."""
    for series in radiographs(study)[0]:
        yield from zip(series.instances, series.headers, strict=True)


def check(study: Study) -> None:
    """Hold the study against the input contract, from headers alone.

    Raises
    ------
    UnsuitableInput
        If it has no radiograph that may be scored; the message says why not.
    """
    reasons = [refusal(read_header(header)) for _, header in candidates(study)]
    if not reasons:
        raise UnsuitableInput(f"needs a radiograph of a hand or a foot ({', '.join(MODALITIES)})")
    if all(reason is not None for reason in reasons):
        raise UnsuitableInput("; ".join(dict.fromkeys(reason for reason in reasons if reason)))


@dataclass(frozen=True)
class Film:
    """One picture that was read."""

    image: ImageReference
    array: NDArray[np.float32]  # (H, W), bone bright
    pixel_mm: tuple[float, float] | None
    header: Header
    limbs: tuple[LimbReading, ...]
    sight: Sight  # what it shows, also where no limb can be read
    inverted: bool = False  # bone was dark on it; the grey values above are turned round
    unread: tuple[Sight, ...] = ()  # what lies beside the limbs and is not read

    @property
    def more(self) -> str:
        """That the picture shows more than the limbs that were read, as a sentence; "" where it does not."""
        if not self.limbs or not self.unread:
            return ""
        limbs = " and ".join(f"the {one.limb.name}" for one in self.limbs)
        seen = [f"what looks like {sight.words}" if sight.view else "something else" for sight in self.unread]
        words = tuple(dict.fromkeys(seen))
        it, was = "it" if len(self.limbs) == 1 else "them", "was" if len(words) == 1 else "were"
        return f"The picture shows more than {limbs}: {' and '.join(words)} beside {it} {was} not read."

    def contradictions(self, reading: LimbReading) -> tuple[str, ...]:
        """Where the picture and the header disagree about a limb, in words."""
        found = []
        if self.header.part and self.header.part != reading.limb.part:
            found.append(f"the header says {self.header.part}, the picture shows a {reading.limb.part}")
        if self.header.side and self.header.side != reading.limb.side:
            found.append(f"the header says {SIDE_NAMES[self.header.side]}, the picture shows a {reading.limb.name}")
        return (*found, *self.view_contradictions(reading))

    def view_contradictions(self, reading: LimbReading) -> tuple[str, ...]:
        """Where they disagree about its view, in words: the header calls lateral or oblique what would be scored."""
        if not self.header.view or reading.other_view:
            return ()
        article = "an" if self.header.view == "oblique" else "a"
        part = reading.limb.part
        return (
            f"the header says {article} {self.header.view} view, the picture shows a {READ_ON[part]} view of a {part}",
        )


def read(study: Study, reader: Reader) -> tuple[tuple[Film, ...], tuple[LeftAside, ...]]:
    """Every radiograph of the study that its header does not rule out, read; and the others, with the reason.

    Raises
    ------
    UnsuitableInput
        If none can be read; the message says why not the first. Also if the machine cannot read one now.
    """
    films: list[Film] = []
    others: list[tuple[str, ImageReference, Dataset]] = []
    problems: list[UnsuitableInput] = []
    for instance, ds in candidates(study):
        header = read_header(ds)
        image = ImageReference(instance.sop_instance_uid)
        ruled_out = refusal(header)
        if ruled_out is not None:
            others.append((f"a film that is not scored: {ruled_out}", image, ds))
            continue
        try:
            films += [_film(picture, header, reader) for picture in frames(instance)]
        except UnsuitableInput as error:
            if of_the_machine(error):
                raise
            problems.append(error)
            why = str(error).removeprefix("the image cannot be read: ")
            others.append((f"a film that cannot be read: {why}", image, ds))
    if problems and not films:
        raise problems[0]
    return tuple(films), left_aside(others)


def _film(picture: Picture, header: Header, reader: Reader) -> Film:
    array = np.asarray(picture.array, np.float32)
    grey = array.mean(axis=-1) if array.ndim == 3 else array
    return read_picture(picture.reference, grey, picture.pixel_mm, header, reader)


def read_picture(
    image: ImageReference,
    grey: NDArray[np.float32],
    pixel_mm: tuple[float, float] | None,
    header: Header,
    reader: Reader,
) -> Film:
    """A picture (H, W) read; if bone is dark on it, its grey values are turned round."""
    grey = np.asarray(grey, np.float32)
    read = reader.read(grey)
    shown = bone_bright(grey, read.inverted)
    return Film(image, shown, pixel_mm, header, read.limbs, read.sight, read.inverted, read.unread)


def bone_bright(grey: NDArray[np.float32], inverted: bool) -> NDArray[np.float32]:
    """A picture (H, W) with its grey values turned round if bone is dark on it."""
    return np.asarray(grey.max() - grey if inverted else grey, np.float32)


@dataclass(frozen=True)
class LimbFilm:
    """The picture that was chosen for one limb."""

    film: Film
    reading: LimbReading
    contradictions: tuple[str, ...]

    @property
    def key(self) -> tuple[Part, Side]:
        """Part and side of the limb."""
        return self.reading.limb.part, self.reading.limb.side


def choose(films: Sequence[Film]) -> tuple[tuple[LimbFilm, ...], tuple[str, ...]]:
    """For each limb the picture on which most cells could be read; and remarks on other pictures of it, and on ages."""
    best: dict[tuple[Part, Side], LimbFilm] = {}
    remarks = [BORN_LATER for film in films if film.header.born_later]
    for film in films:
        if film.more:
            remarks.append(film.more)
        for reading in film.limbs:
            new = LimbFilm(film, reading, film.contradictions(reading))
            old = best.get(new.key)
            if old is not None:
                limb = f"a {reading.limb.name}"
                several = f"A picture shows {limb} twice" if old.film is film else f"More than one picture shows {limb}"
                remarks.append(f"{several}; the better readable one counts.")
            if old is None or _worth(new) > _worth(old):
                best[new.key] = new
    order = {("hand", "R"): 0, ("hand", "L"): 1, ("foot", "R"): 2, ("foot", "L"): 3}
    return tuple(sorted(best.values(), key=lambda chosen: order[chosen.key])), tuple(dict.fromkeys(remarks))


def _worth(chosen: LimbFilm) -> tuple[bool, int, float]:
    scored = sum(isinstance(reading, Scored) for reading in chosen.reading.cells.values())
    return not chosen.contradictions and not chosen.reading.other_view, scored, chosen.reading.limb.quality


def shown(films: Sequence[Film]) -> str:
    """What pictures without a limb that can be scored show, in words."""
    return "; ".join(dict.fromkeys(_sight_words(film.sight) for film in films if not film.limbs))


def _sight_words(sight: Sight) -> str:
    if sight.confidence >= MIN_SIGHT and sight.part == "other":
        return "the picture shows neither a hand nor a foot, or only a part of one"
    if sight.confidence >= MIN_SIGHT and sight.view == "lateral":
        return f"the picture shows a lateral view of a {sight.part}: the score is read on {READ_ON[sight.part]} views"
    return "no hand and no foot was found that can be scored"


def readings(chosen: Sequence[LimbFilm]) -> dict[Cell, Reading]:
    """The cells of all limbs that may be counted: not those of a limb whose header and picture disagree."""
    cells: dict[Cell, Reading] = {}
    for limb in chosen:
        if not limb.contradictions:
            cells |= _counted(limb.reading)
    return cells


def _counted(reading: LimbReading) -> Mapping[Cell, Reading]:
    if reading.poor is not None:  # what pixels cannot show says nothing of age or view either
        return reading.cells
    if reading.child:
        return {cell: NotScored(Reason.CHILD) for cell in reading.cells}
    if reading.other_view:
        return {cell: NotScored(Reason.VIEW) for cell in reading.cells}
    return reading.cells
