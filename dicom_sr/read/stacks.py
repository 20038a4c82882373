"""Cross-sectional series as volumes: one stack per echo, phase and part, with geometry from the slices' positions.

What cannot be interpolated honestly is refused with a reason: mixed orientation, gaps, duplicates, too few slices.
Localizers, captures, what is derived already and our own results are left aside, and a series of nothing else refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference, LeftAside, Volume
from dicom_sr.header_numbers import (
    lacking,
    needed_numbers,
    needed_rescale,
    needed_size,
    needed_whole_number,
    number_in,
    one_rescale,
)
from dicom_sr.photometric import least_is_white
from dicom_sr.read.frames import frame_header, number_of_frames
from dicom_sr.read.pixels import real_range, real_values
from dicom_sr.read.slices import Aside, Slice, aside, chosen_kind, grouped, left_aside, phase
from dicom_sr.read.stored_pixels import decoded, read
from dicom_sr.series import Series
from dicom_sr.words import counted

MIN_SLICES = 4
SPACING_TOLERANCE = 0.01  # of the spacing
SPACING_TOLERANCE_MM = 0.05
UNIT_TOLERANCE = 0.01  # of the products of two direction cosines
ORIENTATION_TOLERANCE = 1e-3  # direction cosines as scanners write them differ in the fourth decimal


@dataclass(frozen=True)
class Stack:
    """Parallel, evenly spaced slices of one echo, phase and part, in ascending position along the normal."""

    slices: tuple[Slice, ...]
    label: str  # e.g. "echo 1, TE 6.3 ms"; empty where the series has only one stack
    affine: NDArray[np.float64]  # (4, 4): index (d, h, w, 1) to patient LPS, mm
    spacing_mm: float  # distance of neighbouring slice centres
    thickness_mm: float  # width of the slice profile; the spacing where the header does not say
    pixel_mm: tuple[float, float]  # height, width

    @property
    def header(self) -> Dataset:
        """The first slice's."""
        return self.slices[0].header

    @property
    def gap_mm(self) -> float:
        """What lies between two slices and in neither."""
        return max(0.0, self.spacing_mm - self.thickness_mm)

    @property
    def references(self) -> tuple[ImageReference, ...]:
        """The images or frames of the slices, in order."""
        return tuple(one.reference for one in self.slices)

    @property
    def one_rescale(self) -> bool:
        """Whether all slices share one rescale pair; if not (Philips), stored values of two slices do not compare."""
        return one_rescale([one.header for one in self.slices])


@dataclass(frozen=True)
class SortedSeries:
    """A series as stacks, and what of it is in none."""

    series: Series  # with the instances that the stacks are of
    stacks: tuple[Stack, ...]  # by echo time, then phase
    left_aside: tuple[LeftAside, ...]


def stacks(series: Series) -> tuple[Stack, ...]:
    """The stacks of a series, as `sort_series` finds them."""
    return sort_series(series).stacks


def sort_series(series: Series) -> SortedSeries:
    """The stacks of a series by echo time, then phase, and what is left aside; only headers are read.

    Raises
    ------
    UnsuitableInput
        If the series does not meet the contract; the message says where.
    """
    slices, others = _slices(series)
    if not slices:
        raise UnsuitableInput(_nothing_left([reason for reason, _, _ in others]))
    _refuse_mixed([one.header for one in slices])
    slices, of_other_kind = chosen_kind(_placed(slices))
    others += [(reason, one.reference, one.header) for reason, one in of_other_kind]
    remarks = left_aside((reason.of_one, image, header) for reason, image, header in others)
    try:
        found = sorted((_stack(group) for group in grouped(slices)), key=_order)
    except UnsuitableInput as error:
        raise UnsuitableInput("; ".join([str(error), *(one.sentence for one in remarks)])) from error
    used = {one.instance.sop_instance_uid for one in slices}
    kept = tuple(instance for instance in series.instances if instance.sop_instance_uid in used)
    rest = series if len(kept) == len(series.instances) else replace(series, instances=kept)
    return SortedSeries(rest, _labelled(found), remarks)


def _labelled(found: list[Stack]) -> tuple[Stack, ...]:
    if len(found) == 1:
        return (found[0],)
    labels = [_label(stack, number) for number, stack in enumerate(found, start=1)]
    if len(set(labels)) < len(labels):  # what tells them apart has no name of its own
        labels = [f"{label}, part {number}" for number, label in enumerate(labels, start=1)]
    return tuple(replace(stack, label=label) for stack, label in zip(found, labels, strict=True))


def read_stack(stack: Stack, stored: bool = False) -> Volume:
    """The voxels of a stack, (D, H, W) float32; where the least value is white, all turned alike.

    Parameters
    ----------
    stored
        False: after the modality transform (PS3.3 C.11.1). True: as `DerivedVolume` wants it, that is stored values
        where all slices share one rescale pair, and after the transform where they do not.

    Raises
    ------
    UnsuitableInput
        If a slice cannot be decoded.
    """
    opened: dict[str, Dataset] = {}
    raw = stored and stack.one_rescale
    array = np.empty((len(stack.slices), *_shape(stack.header)), np.float32)
    turned: list[int] = []
    ends: list[float] = []  # of what the slices to be turned can hold
    for index, one in enumerate(stack.slices):
        uid = one.instance.sop_instance_uid
        if uid not in opened:
            opened = {uid: read(one.instance)}  # one at a time: an Enhanced object holds the whole volume
        plane = decoded(opened[uid], (one.frame_number or 1) - 1)
        if plane.ndim != 2:
            raise UnsuitableInput("the slices are in colour")
        array[index] = plane if raw else real_values(plane, one.header)
        if not raw and least_is_white(one.header):
            turned.append(index)
            ends += real_range(one.header, plane)
    for index in turned:  # by one number, or slices of other slopes would no longer compare
        array[index] = np.float32(min(ends) + max(ends)) - array[index]
    return Volume(array, stack.affine)


def read_volume(series: Series) -> Volume:
    """The only stack of a series, after the modality transform.

    Raises
    ------
    UnsuitableInput
        As `stacks` does, and if there is more than one stack.
    """
    found = stacks(series)
    if len(found) > 1:
        raise UnsuitableInput(f"needs one stack, found {len(found)}: {'; '.join(stack.label for stack in found)}")
    return read_stack(found[0])


# ---- slices
def _slices(series: Series) -> tuple[list[Slice], list[tuple[Aside, ImageReference, Dataset]]]:
    """The acquired slices of a series, their place not known yet, and what else it holds."""
    slices: list[Slice] = []
    others: list[tuple[Aside, ImageReference, Dataset]] = []
    for instance, header in zip(series.instances, series.headers, strict=True):
        count = number_of_frames(header)
        if count > _described(header):
            others.append((_aside_or_refused(header), ImageReference(instance.sop_instance_uid), header))
            continue
        for number in range(1, count + 1):
            flat = frame_header(header, number)
            frame = number if flat is not header or count > 1 else None
            reason = aside(flat)
            if reason is None:
                _refuse_by_header(flat)
                slices.append(Slice(instance, frame, flat, 0.0))
            else:
                others.append((reason, ImageReference(instance.sop_instance_uid, frame), header))
    return slices, others


def _described(header: Dataset) -> int:
    """How many frames have a header of their own."""
    return max(1, len(header.get("PerFrameFunctionalGroupsSequence") or ()))


def _aside_or_refused(header: Dataset) -> Aside:
    """Why an object is left aside whose frames are more than it describes: slices they cannot be."""
    reason = aside(frame_header(header, 1))
    if reason is None:
        wanted = f"the number of frames that the header gives a place, {_described(header)}"
        raise UnsuitableInput(lacking(header, "NumberOfFrames", wanted))
    return reason


def _nothing_left(reasons: list[Aside]) -> str:
    """Why a series without a slice has none."""
    counted = Counter(reasons) or Counter([Aside.NO_IMAGE])
    if len(counted) == 1:
        return next(iter(counted)).of_all
    return "the series holds no acquired slices: " + ", ".join(f"{n} {reason.of_one}" for reason, n in counted.items())


def _placed(slices: list[Slice]) -> list[Slice]:
    """The slices with their place along one normal: their own differ in the last decimals."""
    orientation = _orientation(slices[0].header)
    normal = np.cross(orientation[:3], orientation[3:])
    return [replace(one, position_mm=float(_position(one.header) @ normal)) for one in slices]


def _refuse_by_header(header: Dataset) -> None:
    _position(header)
    cosines = _orientation(header).reshape(2, 3)
    if np.abs(cosines @ cosines.T - np.eye(2)).max() > UNIT_TOLERANCE:
        raise UnsuitableInput(lacking(header, "ImageOrientationPatient", "two perpendicular directions"))
    _pixel_mm(header)
    _shape(header)
    needed_rescale(header)


def _position(header: Dataset) -> NDArray[np.float64]:
    return np.array(needed_numbers(header, "ImagePositionPatient", 3))


def _orientation(header: Dataset) -> NDArray[np.float64]:
    return np.array(needed_numbers(header, "ImageOrientationPatient", 6))


def _pixel_mm(header: Dataset) -> tuple[float, float]:
    return needed_size(header, "PixelSpacing")


def _shape(header: Dataset) -> tuple[int, int]:
    return needed_whole_number(header, "Rows"), needed_whole_number(header, "Columns")


def _refuse_mixed(headers: list[Dataset]) -> None:
    first = headers[0]
    if len({str(header.get("FrameOfReferenceUID") or "") for header in headers} - {""}) > 1:
        raise UnsuitableInput("the slices differ in frame of reference")
    for header in headers:
        if np.abs(_orientation(header) - _orientation(first)).max() > ORIENTATION_TOLERANCE:
            raise UnsuitableInput("the slices are not parallel: the series mixes orientations, as a localizer does")
        if _shape(header) != _shape(first):
            raise UnsuitableInput("the slices differ in rows or columns")
        if not np.allclose(_pixel_mm(header), _pixel_mm(first), rtol=1e-3):
            raise UnsuitableInput("the slices differ in pixel spacing")


def _order(stack: Stack) -> tuple[object, ...]:
    header = stack.header
    keywords = ("EchoNumbers", "InversionTime", "StackID", "ComplexImageComponent", "ImageType")
    return (
        number_in(header, "EchoTime") or 0.0,
        phase(header),
        *(str(header.get(keyword) or "") for keyword in keywords),
    )


def _label(stack: Stack, number: int) -> str:
    header, parts = stack.header, []
    if echo_time := number_in(header, "EchoTime"):
        named = {str(one.header.get("EchoNumbers") or number) for one in stack.slices}
        parts += [f"echo {each}" for each in named if len(named) == 1]
        parts.append(f"TE {echo_time:.1f} ms")
    if len({phase(one.header) for one in stack.slices}) == 1 and phase(header):
        parts.append(f"phase {phase(header)}")
    return ", ".join(parts) or f"stack {number}"


# ---- geometry
def _stack(group: list[Slice]) -> Stack:
    slices = sorted(group, key=lambda one: one.position_mm)
    if len(slices) < MIN_SLICES:
        raise UnsuitableInput(f"a stack has {counted(len(slices), 'slice')}; at least {MIN_SLICES} are needed")
    spacing = _even_spacing(np.array([one.position_mm for one in slices]))
    header = slices[0].header
    orientation = _orientation(header)
    row, column = orientation[:3], orientation[3:]  # directions of increasing column index and row index
    normal = np.cross(row, column)
    _refuse_shear(slices, normal, spacing)
    height, width = _pixel_mm(header)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = normal * spacing, column * height, row * width
    affine[:3, 3] = _position(header)
    thickness = number_in(header, "SliceThickness") or 0.0
    return Stack(tuple(slices), "", affine, spacing, thickness if thickness > 0 else spacing, (height, width))


def _even_spacing(positions_mm: NDArray[np.float64]) -> float:
    """The distance of neighbouring slices, mm."""
    steps = np.diff(positions_mm)
    if (steps < SPACING_TOLERANCE_MM).any():
        raise UnsuitableInput("two slices lie at the same position")
    spacing = float(np.median(steps))
    if (steps > 1.5 * spacing).any():
        at = int(np.argmax(steps))
        raise UnsuitableInput(
            f"a slice is missing after slice {at + 1}: {steps[at]:.2f} mm where {spacing:.2f} is usual"
        )
    if (np.abs(steps - spacing) > max(SPACING_TOLERANCE * spacing, SPACING_TOLERANCE_MM)).any():
        raise UnsuitableInput(f"the slice spacing varies from {steps.min():.3f} to {steps.max():.3f} mm")
    return float(positions_mm[-1] - positions_mm[0]) / (len(positions_mm) - 1)


def _refuse_shear(slices: list[Slice], normal: NDArray[np.float64], spacing_mm: float) -> None:
    first, last = (_position(one.header) for one in (slices[0], slices[-1]))
    off_normal = last - first - normal * float((last - first) @ normal)
    if np.linalg.norm(off_normal) > 0.1 * spacing_mm:
        raise UnsuitableInput("the slices are shifted against each other: the stack is not perpendicular to them")
