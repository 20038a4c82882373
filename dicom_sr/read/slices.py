"""Which images of a series are slices of a stack, which are left aside and why, and which slices belong together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from dicom_sr.findings import ImageReference, LeftAside
from dicom_sr.header_numbers import number_in, whole_number_in
from dicom_sr.read.headers import is_image, made_by_us
from dicom_sr.series import Instance, Series

SAME_PLACE_MM = 0.05  # slices nearer than this lie at one place: echoes, phases, repeats
_SLICE_CLASSES = {
    MRImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
}
_LOCALIZER = {"LOCALIZER", "SCOUT", "PROJECTION IMAGE"}
_COMPONENTS = {
    "magnitude": {"M", "MAGNITUDE"},
    "phase": {"P", "PHASE"},
    "real": {"R", "REAL"},
    "imaginary": {"I", "IMAGINARY"},
}
_CONTRASTS = {
    "water": {"WATER", "W"},
    "fat": {"FAT", "F"},
    "in phase": {"IN_PHASE", "INPHASE", "IP"},
    "out of phase": {"OUT_PHASE", "OUT_OF_PHASE", "OPP_PHASE", "OPPOSED_PHASE", "OP", "OPP"},
}
_BESIDE_DIXON = {"IN": "IN_PHASE", "OUT": "OUT_PHASE"}  # words that mean this only there
_MADE_OF_SLICES = {"MPR", "MIP", "MINIP", "SUB", "SUBTRACTION", "REFORMATTED", "AVERAGE", "PROJECTION IMAGE"}
# what scanners write a little otherwise in each slice: nearer than the first two (ms, share of the value) is one
# value, unless slices lie at one place, and then nearer than the third
_ECHO_MS, _INVERSION_MS = (0.5, 0.05, 0.1), (5.0, 0.05, 1.0)


class Aside(Enum):
    """Why an image is left aside: what it is, and what a series of nothing else is."""

    RESULT = "a result of this node", "the series is a result of this node"
    NO_IMAGE = "an object without pixels", "the series holds no images"
    MAP = "a calculated map", "the series holds calculated maps only, no acquired slices"
    DERIVED = "derived (ImageType)", "the series is derived (ImageType); only acquired slices are used"
    LOCALIZER = "a localizer", "the series is a localizer"
    COLOUR = "in colour", "the slices are in colour"
    CAPTURE = "a capture without a place in the patient", "no image has a place in the patient (ImagePositionPatient)"
    NOT_WATER = "a Dixon image other than that of water", "the series holds no Dixon images of water"
    NOT_MAGNITUDE = "a phase, real or imaginary part", "the series holds no magnitude images"

    @property
    def of_one(self) -> str:
        """What an image is that is left aside for this."""
        return self.value[0]

    @property
    def of_all(self) -> str:
        """What a series is whose every image is left aside for this."""
        return self.value[1]


@dataclass(frozen=True)
class Slice:
    """One acquired slice: an instance, or a frame of one."""

    instance: Instance
    frame_number: int | None  # 1-based; None for a single-frame instance
    header: Dataset  # in classic terms
    position_mm: float  # of the centre along the stack's normal

    @property
    def reference(self) -> ImageReference:
        """The image or frame of an image that the slice is."""
        return ImageReference(self.instance.sop_instance_uid, self.frame_number)


def aside(header: Dataset) -> Aside | None:
    """Why an image, or a frame of one in classic terms, is no acquired slice; None where it is one."""
    image_type = _image_type(header)
    if made_by_us(header):
        return Aside.RESULT
    if not is_image(header):
        return Aside.NO_IMAGE
    if any("MAP" in value for value in image_type[2:4]):  # values 3 and 4 name it: B0 MAP, T2 MAP, ...
        return Aside.MAP
    if image_type[:1] == ["DERIVED"]:
        made = "" if _MADE_OF_SLICES & set(image_type) else contrast(header)
        if made != "water":  # some scanners call that derived too
            return Aside.NOT_WATER if made else Aside.DERIVED
    if _LOCALIZER & set(image_type):
        return Aside.LOCALIZER
    if (whole_number_in(header, "SamplesPerPixel") or 1) != 1:
        return Aside.COLOUR
    slice_class = str(header.get("SOPClassUID") or "") in _SLICE_CLASSES
    if not slice_class and not header.get("ImagePositionPatient") and "PerFrameFunctionalGroupsSequence" not in header:
        return Aside.CAPTURE
    return None


def images_of(series: Series) -> tuple[Series, tuple[LeftAside, ...]]:
    """A series without what shows nothing, such as a presentation state, and what that is."""
    rows = list(zip(series.instances, series.headers, strict=True))
    images = tuple(instance for instance, header in rows if is_image(header))
    if len(images) == len(rows):
        return series, ()
    others = [(instance, header) for instance, header in rows if not is_image(header)]
    reason = Aside.NO_IMAGE.of_one
    remarks = left_aside((reason, ImageReference(one.sop_instance_uid), header) for one, header in others)
    return replace(series, instances=images), remarks


def left_aside(found: Iterable[tuple[str, ImageReference, Dataset]]) -> tuple[LeftAside, ...]:
    """What was left aside, reason by reason, with the numbers that a reader knows the images by."""
    by_reason: dict[str, list[tuple[ImageReference, str]]] = {}
    for reason, reference, header in found:
        number = reference.frame_number or whole_number_in(header, "InstanceNumber")
        by_reason.setdefault(reason, []).append((reference, "" if number is None else str(number)))
    return tuple(
        LeftAside(reason, tuple(one for one, _ in images), tuple(number for _, number in images if number))
        for reason, images in by_reason.items()
    )


def chosen_kind(slices: Sequence[Slice]) -> tuple[list[Slice], list[tuple[Aside, Slice]]]:
    """The slices of the kind that matters, and the others: magnitude before its parts, water before other Dixon images.

    Where the one that matters is not there, all are kept.
    """
    others: list[tuple[Aside, Slice]] = []
    kept = list(slices)
    for kind, wanted, reason in (
        (component, "magnitude", Aside.NOT_MAGNITUDE),
        (contrast, "water", Aside.NOT_WATER),
    ):
        if any(kind(one.header) == wanted for one in kept):
            others += [(reason, one) for one in kept if kind(one.header) not in (wanted, "")]
            kept = [one for one in kept if kind(one.header) in (wanted, "")]
    return kept, others


def component(header: Dataset) -> str:
    """Which part of the complex signal an image shows; empty where nothing says so."""
    return _named(_COMPONENTS, [str(header.get("ComplexImageComponent") or "").upper(), *_image_type(header)[2:]])


def contrast(header: Dataset) -> str:
    """Which of the images that Dixon's method makes this is; empty where it is none."""
    words = _image_type(header)[2:]
    beside = _BESIDE_DIXON if "DIXON" in words else {}
    return _named(_CONTRASTS, [beside.get(word, word) for word in words])


def _named(names: dict[str, set[str]], words: list[str]) -> str:
    return next((name for word in words for name, spellings in names.items() if word in spellings), "")


def _image_type(header: Dataset) -> list[str]:
    value = header.get("ImageType") or ()
    return [str(one).strip().upper() for one in ([value] if isinstance(value, str) else value)]


# ---- which slices belong together
def phase(header: Dataset) -> int:
    """Of a series in time, counted by the scanner; 0 where it does not count."""
    return (
        whole_number_in(header, "TemporalPositionIndex") or whole_number_in(header, "TemporalPositionIdentifier") or 0
    )


def grouped(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The slices of each stack.

    Echo and inversion time beyond tolerance, the kind of image and a stack's name always tell stacks apart. All else
    that may differ from slice to slice of one stack (a phase, a further value of ImageType, an acquisition number)
    tells them apart only where slices would lie at one place without it.
    """
    groups = [list(slices)]
    for key in (_by_kind, _by("EchoTime", *_ECHO_MS[:2]), _by("InversionTime", *_INVERSION_MS[:2])):
        groups = [part for group in groups for part in _split(group, key(group))]
    return [part for group in groups for part in _apart(group, _INCIDENTAL)]


_Keys = list[Hashable]  # one for each slice of a group
_Key = Callable[[list[Slice]], _Keys]


def _apart(group: list[Slice], keys: Sequence[_Key]) -> list[list[Slice]]:
    """The stacks of a group whose slices lie at one place, by the key that spreads them best; of equals by the first.

    An echo time that jitters spreads a few of two phases by chance: the phase spreads all.
    """
    repeats = _repeats(group)
    if not repeats:
        return [group]
    splits = []
    for index, key in enumerate(keys):
        parts = _split(group, key(group))
        # a key that is another in every slice tells nothing: after it no part would be a stack
        if len(parts) > 1 and np.median([len(part) for part in parts]) > 1:
            splits.append((sum(map(_repeats, parts)), index, parts))
    left, index, parts = min(splits, key=lambda split: split[:2], default=(repeats, 0, []))
    if left == repeats:
        return [group]
    return [stack for part in parts for stack in _apart(part, [*keys[:index], *keys[index + 1 :]])]


def _repeats(group: list[Slice]) -> int:
    """How many slices lie where another one does."""
    return int((np.diff(np.sort([one.position_mm for one in group])) < SAME_PLACE_MM).sum())


def _split(group: list[Slice], keys: _Keys) -> list[list[Slice]]:
    parts: dict[Hashable, list[Slice]] = {}
    for one, key in zip(group, keys, strict=True):
        parts.setdefault(key, []).append(one)
    return list(parts.values())


def _by_kind(group: list[Slice]) -> _Keys:
    headers = [one.header for one in group]
    return [(component(each) or "magnitude", contrast(each), str(each.get("StackID") or "")) for each in headers]


def _by(keyword: str, tolerance: float, share: float = 0.0) -> _Key:
    """The number that an element holds, as one of the runs of numbers that lie within a tolerance of each other.

    A slice without the number is of the only run there is.
    """

    def keys(group: list[Slice]) -> _Keys:
        values = np.array([number_in(one.header, keyword) or 0.0 for one in group])
        runs = _runs(values[values > 0], tolerance, share)
        if len(runs) == 1:
            return [0] * len(group)
        return [int(np.searchsorted(runs, value, side="right")) for value in values]

    return keys


def _runs(values: NDArray[np.float64], tolerance: float, share: float) -> NDArray[np.float64]:
    """The least value of every run, ascending."""
    ascending = np.unique(values)
    far = np.diff(ascending) > np.maximum(tolerance, share * ascending[1:])
    return ascending[np.concatenate([[True], far])] if len(ascending) else np.zeros(1)


def _by_text(keyword: str) -> _Key:
    return lambda group: [str(one.header.get(keyword) or "") for one in group]


_INCIDENTAL: tuple[_Key, ...] = (
    _by("EchoTime", _ECHO_MS[2]),
    _by("InversionTime", _INVERSION_MS[2]),
    _by_text("EchoNumbers"),
    lambda group: [phase(one.header) for one in group],
    lambda group: [tuple(_image_type(one.header)) for one in group],
    _by_text("AcquisitionNumber"),
)
