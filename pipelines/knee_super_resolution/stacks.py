"""From a series to its stacks: one per echo and phase, with geometry from the slices' positions.

The input contract is dicom.md 5.2: what cannot be interpolated honestly is refused with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference, Volume
from dicom_sr.series import Instance, Series

MIN_SLICES = 4
SPACING_TOLERANCE = 0.01  # of the spacing
SPACING_TOLERANCE_MM = 0.05
ORIENTATION_TOLERANCE = 1e-3  # direction cosines as written by scanners differ in the fourth decimal


@dataclass(frozen=True)
class Slice:
    """One acquired slice."""

    instance: Instance
    header: Dataset
    position_mm: float  # of the centre along the stack's normal


@dataclass(frozen=True)
class Stack:
    """Parallel, evenly spaced slices of one echo and phase, in ascending position along the normal."""

    slices: tuple[Slice, ...]
    label: str  # e.g. "echo 1, TE 6.3 ms"; empty when the series has only one stack
    affine: NDArray[np.float64]  # (4, 4): index (d, h, w, 1) to patient LPS, mm
    spacing_mm: float  # distance of neighbouring slice centres
    thickness_mm: float  # width of the slice profile; the spacing where the header does not say
    pixel_mm: tuple[float, float]  # height, width

    @property
    def header(self) -> Dataset:
        return self.slices[0].header

    @property
    def gap_mm(self) -> float:
        return max(0.0, self.spacing_mm - self.thickness_mm)

    @property
    def positions_mm(self) -> NDArray[np.float64]:
        """Positions of the slice centres along the normal, evenly spaced, first slice at 0; (D,)."""
        return np.arange(len(self.slices)) * self.spacing_mm

    @property
    def references(self) -> tuple[ImageReference, ...]:
        return tuple(ImageReference(one.instance.sop_instance_uid) for one in self.slices)


def stacks(series: Series) -> tuple[Stack, ...]:
    """The stacks of a series, by echo, then phase.

    Raises
    ------
    UnsuitableInput
        If the series is derived, a localizer, of mixed orientation or size, has fewer than four slices in a stack,
        duplicate positions, a missing slice or uneven spacing.
    """
    rows = list(zip(series.instances, series.headers, strict=True))
    for _, header in rows:
        _refuse_by_header(header)
    _refuse_mixed([header for _, header in rows])
    groups: dict[tuple[object, ...], list[tuple[Instance, Dataset]]] = {}
    for instance, header in rows:
        groups.setdefault(_key(header), []).append((instance, header))
    found = [_stack(group) for _, group in sorted(groups.items(), key=lambda item: str(item[0]))]
    found.sort(key=lambda stack: (float(stack.header.get("EchoTime") or 0), _phase(stack.header)))
    if len(found) == 1:
        return (found[0],)
    return tuple(replace(stack, label=_label(stack.header, number)) for number, stack in enumerate(found, start=1))


def _refuse_by_header(header: Dataset) -> None:
    image_type = [str(value).upper() for value in header.get("ImageType") or ()]
    if image_type[:1] == ["DERIVED"]:
        raise UnsuitableInput("the series is derived (ImageType), perhaps by this node; only acquired slices are used")
    if any(value in {"LOCALIZER", "SCOUT", "PROJECTION IMAGE"} for value in image_type):
        raise UnsuitableInput("the series is a localizer")
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns"):
        if not header.get(keyword):
            raise UnsuitableInput(f"an image has no {keyword}, so its place in the patient is unknown")
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise UnsuitableInput("the images are in colour")


def _refuse_mixed(headers: list[Dataset]) -> None:
    first = headers[0]
    orientation = np.array(first.ImageOrientationPatient, dtype=float)
    for header in headers:
        if np.abs(np.array(header.ImageOrientationPatient, dtype=float) - orientation).max() > ORIENTATION_TOLERANCE:
            raise UnsuitableInput("the slices are not parallel: the series mixes orientations, as a localizer does")
        if (header.Rows, header.Columns) != (first.Rows, first.Columns):
            raise UnsuitableInput("the slices differ in rows or columns")
        if not np.allclose(np.array(header.PixelSpacing, float), np.array(first.PixelSpacing, float), rtol=1e-3):
            raise UnsuitableInput("the slices differ in pixel spacing")
        if str(header.get("FrameOfReferenceUID") or "") != str(first.get("FrameOfReferenceUID") or ""):
            raise UnsuitableInput("the slices differ in frame of reference")


def _phase(header: Dataset) -> float:
    return float(header.get("TemporalPositionIdentifier") or header.get("TriggerTime") or 0)


def _key(header: Dataset) -> tuple[object, ...]:
    """What tells one stack of a series from another."""
    return (
        float(header.get("EchoTime") or 0),
        str(header.get("EchoNumbers") or ""),
        int(header.get("TemporalPositionIdentifier") or 0),
        float(header.get("InversionTime") or 0),
        tuple(str(value) for value in header.get("ImageType") or ()),
    )


def _label(header: Dataset, number: int) -> str:
    parts = []
    if header.get("EchoTime"):
        parts.append(f"echo {header.get('EchoNumbers') or number}, TE {float(header.EchoTime):.1f} ms")
    if header.get("TemporalPositionIdentifier"):
        parts.append(f"phase {header.TemporalPositionIdentifier}")
    return ", ".join(parts) or f"stack {number}"


def _stack(group: list[tuple[Instance, Dataset]]) -> Stack:
    header = group[0][1]
    orientation = np.array(header.ImageOrientationPatient, dtype=float)
    row, column = orientation[:3], orientation[3:]  # directions of increasing column index and row index
    normal = np.cross(row, column)
    where = [np.array(each.ImagePositionPatient, dtype=float) for _, each in group]
    slices = sorted(
        (Slice(instance, each, float(point @ normal)) for (instance, each), point in zip(group, where, strict=True)),
        key=lambda one: one.position_mm,
    )
    if len(slices) < MIN_SLICES:
        raise UnsuitableInput(f"a stack has {len(slices)} slices; at least {MIN_SLICES} are needed")
    spacing = _even_spacing(np.array([one.position_mm for one in slices]))
    _refuse_shear(slices, normal, spacing)
    height, width = (float(value) for value in header.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = normal * spacing
    affine[:3, 1] = column * height
    affine[:3, 2] = row * width
    affine[:3, 3] = np.array(slices[0].header.ImagePositionPatient, dtype=float)
    thickness = float(header.get("SliceThickness") or 0) or spacing
    return Stack(tuple(slices), "", affine, spacing, thickness, (height, width))


def _even_spacing(positions_mm: NDArray[np.float64]) -> float:
    """The distance of neighbouring slices, mm."""
    steps = np.diff(positions_mm)
    spacing = float(np.median(steps))
    tolerance = max(SPACING_TOLERANCE * spacing, SPACING_TOLERANCE_MM)
    if (steps < SPACING_TOLERANCE_MM).any():
        raise UnsuitableInput("two slices lie at the same position")
    if (steps > 1.5 * spacing).any():
        at = int(np.argmax(steps))
        raise UnsuitableInput(
            f"a slice is missing after the {at + 1}th: {steps[at]:.2f} mm where {spacing:.2f} is usual"
        )
    if (np.abs(steps - spacing) > tolerance).any():
        raise UnsuitableInput(f"the slice spacing varies from {steps.min():.3f} to {steps.max():.3f} mm")
    return float(positions_mm[-1] - positions_mm[0]) / (len(positions_mm) - 1)


def _refuse_shear(slices: list[Slice], normal: NDArray[np.float64], spacing_mm: float) -> None:
    first, last = (np.array(one.header.ImagePositionPatient, dtype=float) for one in (slices[0], slices[-1]))
    off_normal = last - first - normal * float((last - first) @ normal)
    if np.linalg.norm(off_normal) > 0.1 * spacing_mm:
        raise UnsuitableInput("the slices are shifted against each other: the stack is not perpendicular to its slices")


def read(stack: Stack) -> Volume:
    """The stored values of a stack, (D, H, W) float32, in the unit of the source's stored values.

    Raises
    ------
    UnsuitableInput
        If the pixels cannot be decoded.
    """
    import pydicom

    planes = []
    for one in stack.slices:
        try:
            planes.append(pydicom.dcmread(one.instance.path, force=True).pixel_array.astype(np.float32))
        except (AttributeError, ValueError, NotImplementedError, RuntimeError) as error:
            raise UnsuitableInput(f"the pixels of an image cannot be decoded: {type(error).__name__}") from error
    return Volume(np.stack(planes), stack.affine)
