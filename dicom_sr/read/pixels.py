"""From files to pictures: any image instance as arrays with unit and geometry, or a reason why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference
from dicom_sr.header_numbers import (
    number_in,
    numbers_in,
    rescale_in,
    size_in,
    whole_number_in,
)
from dicom_sr.photometric import least_is_white, photometric
from dicom_sr.read.frames import frame_header, number_of_frames
from dicom_sr.read.stored_pixels import DECODING, decoded, read, stored_range
from dicom_sr.series import Instance, Series

_CENTIMETRE = 3  # PhysicalUnitsXDirection, PS3.3 C.8.5.5.1.15
Scale = Literal["pixel spacing", "imager pixel spacing", "ultrasound region", "none"]


@dataclass(frozen=True)
class UltrasoundRegion:
    """A part of an ultrasound image with a scale of its own (PS3.3 C.8.5.5)."""

    box: tuple[int, int, int, int]  # first column, first row, last column, last row, 0-based
    pixel_mm: tuple[float, float] | None  # height, width; None where the region's axes are not lengths
    data_type: int  # 1 tissue, 2 colour flow, 3 PW spectral Doppler, ...


@dataclass(frozen=True)
class Picture:
    """One image, or one frame of it, with what its numbers mean."""

    reference: ImageReference
    array: NDArray[np.generic]  # (H, W) float32, larger is brighter; or (H, W, 3) uint8 RGB
    unit: str  # RescaleType, e.g. HU; "" where the numbers have none
    pixel_mm: tuple[float, float] | None  # height, width; None where the image does not say
    scale: Scale  # where `pixel_mm` comes from
    aspect: float = 1.0  # height of a pixel over its width, known even where its size is not
    window: tuple[float, float] | None = None  # lower and upper value to show, in the numbers of `array`
    affine: NDArray[np.float64] | None = None  # (4, 4): index (0, h, w, 1) to patient LPS, mm
    regions: tuple[UltrasoundRegion, ...] = ()

    @property
    def is_colour(self) -> bool:
        """Whether `array` is RGB, not grey."""
        return self.array.ndim == 3


def pictures(series: Series) -> Iterator[Picture]:
    """Every frame of every instance of a series, one at a time, in order.

    Raises
    ------
    UnsuitableInput
        As `frames` does.
    """
    for instance in series.instances:
        yield from frames(instance)


def frames(instance: Instance) -> Iterator[Picture]:
    """The frames of an instance, one at a time.

    Grey pictures are after the modality transform (PS3.3 C.11.1) and the right way round (MONOCHROME1 is turned);
    palette and YBR pictures become RGB with 8 bits.

    Raises
    ------
    UnsuitableInput
        If there are no pixels, or they cannot be decoded; the message says what is missing.
    """
    ds = read(instance)
    count = number_of_frames(ds)
    for index in range(count):
        header = frame_header(ds, index + 1)
        reference = ImageReference(instance.sop_instance_uid, index + 1 if count > 1 else None)
        yield _picture(reference, header, decoded(ds, index))


def read_picture(series: Series) -> Picture:
    """The only picture of a series.

    Raises
    ------
    UnsuitableInput
        If there is more than one, or it cannot be read.
    """
    count = sum(number_of_frames(header) for header in series.headers)
    if count != 1:
        raise UnsuitableInput(f"needs a series of one image, found {count}")
    return next(iter(pictures(series)))


# ---- meaning
def _picture(reference: ImageReference, header: Dataset, stored: NDArray[np.generic]) -> Picture:
    try:
        array, unit = _values(header, stored)
    except DECODING as error:
        raise UnsuitableInput("the pixels' meaning cannot be read: a table for grey or colour is damaged") from error
    pixel_mm, scale = pixel_size_mm(header)
    aspect = _aspect(header, pixel_mm)
    regions = ultrasound_regions(header)
    window = None if array.ndim == 3 else _window(header, stored)
    return Picture(reference, array, unit, pixel_mm, scale, aspect, window, _affine(header, pixel_mm), regions)


def _values(header: Dataset, stored: NDArray[np.generic]) -> tuple[NDArray[np.generic], str]:
    if photometric(header) == "PALETTE COLOR":
        rgb = apply_color_lut(stored, header)[..., :3]
        return _eight_bit(rgb, 8 * rgb.dtype.itemsize), ""
    if stored.ndim == 3:
        return _eight_bit(stored, whole_number_in(header, "BitsStored") or 8), ""
    return bright_values(stored, header), _unit(header)


def bright_values(stored: NDArray[np.generic], header: Dataset) -> NDArray[np.float32]:
    """Stored values after the modality transform, larger is brighter: MONOCHROME1 is turned within its own range."""
    values = real_values(stored, header)
    return np.float32(sum(real_range(header, stored))) - values if least_is_white(header) else values


def real_range(header: Dataset, stored: NDArray[np.generic]) -> tuple[float, float]:
    """The least and the greatest real value of what can be stored: within it a picture is turned."""
    ends = real_values(np.array(stored_range(header, stored)), header)
    return float(ends.min()), float(ends.max())


def real_values(stored: NDArray[np.generic], header: Dataset) -> NDArray[np.float32]:
    """Stored values after the modality transform (PS3.3 C.11.1); as they are where the header gives no usable one."""
    if header.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(stored, header), np.float32)
    slope, intercept = rescale_in(header) or (1.0, 0.0)
    return np.asarray(np.asarray(stored, np.float64) * slope + intercept, np.float32)


def _unit(header: Dataset) -> str:
    lut = header.get("ModalityLUTSequence")
    kind = str((lut[0].get("ModalityLUTType") if lut else header.get("RescaleType")) or "")
    if not kind and str(header.get("Modality") or "") == "CT" and "RescaleSlope" in header:
        kind = "HU"  # PS3.3 C.8.2.1.1.2: the default for CT
    return "" if kind == "US" else kind  # US: unspecified


def _eight_bit(rgb: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    if rgb.dtype == np.uint8 and bits == 8:
        return np.asarray(rgb, np.uint8)
    return np.asarray(np.asarray(rgb, np.float64) * (255 / (2**bits - 1)), np.uint8)


def _window(header: Dataset, stored: NDArray[np.generic]) -> tuple[float, float] | None:
    """The first window of the header, turned where the picture was."""
    centre, width = number_in(header, "WindowCenter"), number_in(header, "WindowWidth")
    if centre is None or not width or width <= 0:
        return None
    if least_is_white(header):
        centre = sum(real_range(header, stored)) - centre
    return centre - width / 2, centre + width / 2


# ---- geometry
def pixel_size_mm(header: Dataset) -> tuple[tuple[float, float] | None, Scale]:
    """Height and width of a pixel, and the element of the header that gives them.

    PixelSpacing comes first. ImagerPixelSpacing is at the detector: the patient is magnified by a few per cent.
    Of ultrasound regions the first one with lengths on both axes counts.
    """
    named: tuple[tuple[str, Scale], ...] = (
        ("PixelSpacing", "pixel spacing"),
        ("ImagerPixelSpacing", "imager pixel spacing"),
        ("NominalScannedPixelSpacing", "imager pixel spacing"),
    )
    for keyword, scale in named:
        found = size_in(header, keyword)
        if found is not None:
            return found, scale
    for region in ultrasound_regions(header):
        if region.pixel_mm is not None:
            return region.pixel_mm, "ultrasound region"
    return None, "none"


def _aspect(header: Dataset, pixel_mm: tuple[float, float] | None) -> float:
    ratio = pixel_mm or size_in(header, "PixelAspectRatio")
    return ratio[0] / ratio[1] if ratio else 1.0


def ultrasound_regions(header: Dataset) -> tuple[UltrasoundRegion, ...]:
    """The calibrated regions of an ultrasound image."""
    found = []
    for item in header.get("SequenceOfUltrasoundRegions") or ():
        corners = [whole_number_in(item, f"RegionLocation{corner}") for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        left, top, right, bottom = corners
        if left is None or top is None or right is None or bottom is None:
            continue
        units = {whole_number_in(item, f"PhysicalUnits{axis}Direction") for axis in "XY"}
        deltas = [abs(number_in(item, f"PhysicalDelta{axis}") or 0.0) for axis in "YX"]
        lengths = units == {_CENTIMETRE} and min(deltas) > 0
        pixel_mm = (10 * deltas[0], 10 * deltas[1]) if lengths else None
        kind = whole_number_in(item, "RegionDataType") or 0
        found.append(UltrasoundRegion((left, top, right, bottom), pixel_mm, kind))
    return tuple(found)


def _affine(header: Dataset, pixel_mm: tuple[float, float] | None) -> NDArray[np.float64] | None:
    orientation, position = (
        numbers_in(header, "ImageOrientationPatient", 6),
        numbers_in(header, "ImagePositionPatient", 3),
    )
    if pixel_mm is None or orientation is None or position is None:
        return None
    row, column = np.array(orientation[:3], np.float64), np.array(orientation[3:], np.float64)
    affine = np.eye(4)
    affine[:3, 0] = np.cross(row, column)
    affine[:3, 1], affine[:3, 2] = column * pixel_mm[0], row * pixel_mm[1]
    affine[:3, 3] = np.array(position, np.float64)
    return affine
