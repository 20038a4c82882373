"""Cross-sectional series as volumes: one stack per echo, phase and part, with geometry from the slices' positions.

What cannot be interpolated honestly is refused with a reason: mixed orientation, gaps, duplicates, too few slices,
localizers, what is derived already, and our own results.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference, Volume
from dicom_sr.header_numbers import (
    lacking,
    needed_numbers,
    needed_rescale,
    needed_size,
    needed_whole_number,
    number_in,
    one_rescale,
    whole_number_in,
)
from dicom_sr.read.frames import frame_header, number_of_frames
from dicom_sr.read.headers import made_by_us
from dicom_sr.read.pixels import decoded, read, real_values
from dicom_sr.series import Instance, Series

MIN_SLICES = 4
SPACING_TOLERANCE = 0.01  # of the spacing
SPACING_TOLERANCE_MM = 0.05
UNIT_TOLERANCE = 0.01  # of the products of two direction cosines
ORIENTATION_TOLERANCE = 1e-3  # direction cosines as scanners write them differ in the fourth decimal
_LOCALIZER = {"LOCALIZER", "SCOUT", "PROJECTION IMAGE"}


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


def stacks(series: Series) -> tuple[Stack, ...]:
    """The stacks of a series by echo time, then phase; only headers are read.

    Raises
    ------
    UnsuitableInput
        If the series does not meet the contract; the message says where.
    """
    slices = [
        one
        for instance, header in zip(series.instances, series.headers, strict=True)
        for one in _slices(instance, header)
    ]
    groups: dict[tuple[object, ...], list[Slice]] = {}
    for one in slices:
        groups.setdefault(_key(one.header), []).append(one)
    images = {key: group for key, group in groups.items() if not _is_map(group[0].header)}
    if not images:
        raise UnsuitableInput("the series holds calculated maps only, no acquired slices")
    _refuse_mixed([one.header for group in images.values() for one in group])
    found = sorted((_stack(group) for group in images.values()), key=_order)
    if len(found) == 1:
        return (found[0],)
    labels = [_label(stack.header, number) for number, stack in enumerate(found, start=1)]
    if len(set(labels)) < len(labels):  # what tells them apart has no name of its own
        labels = [f"{label}, part {number}" for number, label in enumerate(labels, start=1)]
    return tuple(replace(stack, label=label) for stack, label in zip(found, labels, strict=True))


def read_stack(stack: Stack, stored: bool = False) -> Volume:
    """The voxels of a stack, (D, H, W) float32.

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
    for index, one in enumerate(stack.slices):
        uid = one.instance.sop_instance_uid
        if uid not in opened:
            opened = {uid: read(one.instance)}  # one at a time: an Enhanced object holds the whole volume
        plane = decoded(opened[uid], (one.frame_number or 1) - 1)
        if plane.ndim != 2:
            raise UnsuitableInput("the slices are in colour")
        array[index] = plane if raw else real_values(plane, one.header)
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
def _slices(instance: Instance, header: Dataset) -> list[Slice]:
    if made_by_us(header):
        raise UnsuitableInput("the series is a result of this node")
    count = number_of_frames(header)
    found = []
    for number in range(1, count + 1):
        flat = frame_header(header, number)
        _refuse_by_header(flat)
        orientation = _orientation(flat)
        position = float(_position(flat) @ np.cross(orientation[:3], orientation[3:]))
        found.append(Slice(instance, number if flat is not header or count > 1 else None, flat, position))
    return found


def _refuse_by_header(header: Dataset) -> None:
    image_type = [str(value).upper() for value in header.get("ImageType") or ()]
    if image_type[:1] == ["DERIVED"] and not _is_map(header):
        raise UnsuitableInput("the series is derived (ImageType); only acquired slices are used")
    if _LOCALIZER & set(image_type):
        raise UnsuitableInput("the series is a localizer")
    _position(header)
    cosines = _orientation(header).reshape(2, 3)
    if np.abs(cosines @ cosines.T - np.eye(2)).max() > UNIT_TOLERANCE:
        raise UnsuitableInput(lacking(header, "ImageOrientationPatient", "two perpendicular directions"))
    _pixel_mm(header)
    _shape(header)
    needed_rescale(header)
    if (whole_number_in(header, "SamplesPerPixel") or 1) != 1:
        raise UnsuitableInput("the slices are in colour")


def _position(header: Dataset) -> NDArray[np.float64]:
    return np.array(needed_numbers(header, "ImagePositionPatient", 3))


def _orientation(header: Dataset) -> NDArray[np.float64]:
    return np.array(needed_numbers(header, "ImageOrientationPatient", 6))


def _pixel_mm(header: Dataset) -> tuple[float, float]:
    return needed_size(header, "PixelSpacing")


def _shape(header: Dataset) -> tuple[int, int]:
    return needed_whole_number(header, "Rows"), needed_whole_number(header, "Columns")


def _is_map(header: Dataset) -> bool:
    """Whether values 3 and 4 of ImageType or FrameType name a calculated map (B0 MAP, T2 MAP, ...)."""
    return any("MAP" in str(value).upper() for value in list(header.get("ImageType") or ())[2:4])


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


def _phase(header: Dataset) -> int:
    return (
        whole_number_in(header, "TemporalPositionIndex") or whole_number_in(header, "TemporalPositionIdentifier") or 0
    )


def _key(header: Dataset) -> tuple[object, ...]:
    """What tells one stack of a series from another."""
    return (
        round(number_in(header, "EchoTime") or 0.0, 3),
        str(header.get("EchoNumbers") or ""),
        _phase(header),
        round(number_in(header, "InversionTime") or 0.0, 3),
        str(header.get("StackID") or ""),
        str(header.get("ComplexImageComponent") or ""),
        tuple(str(value) for value in header.get("ImageType") or ()),
    )


def _order(stack: Stack) -> tuple[object, ...]:
    return number_in(stack.header, "EchoTime") or 0.0, _phase(stack.header), str(_key(stack.header))


def _label(header: Dataset, number: int) -> str:
    parts = []
    if echo_time := number_in(header, "EchoTime"):
        parts.append(f"echo {header.get('EchoNumbers') or number}, TE {echo_time:.1f} ms")
    if _phase(header):
        parts.append(f"phase {_phase(header)}")
    return ", ".join(parts) or f"stack {number}"


# ---- geometry
def _stack(group: list[Slice]) -> Stack:
    slices = sorted(group, key=lambda one: one.position_mm)
    if len(slices) < MIN_SLICES:
        raise UnsuitableInput(f"a stack has {len(slices)} slices; at least {MIN_SLICES} are needed")
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
