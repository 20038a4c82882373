"""From files to pictures: any image instance as arrays with unit and geometry, or a reason why not."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGExtended12Bit

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference
from dicom_sr.header_numbers import number_in, numbers_in, rescale_in, size_in, whole_number_in
from dicom_sr.read.frames import frame_header, number_of_frames
from dicom_sr.series import Instance, Series

# what pydicom and the decoders behind it raise for files that are cut, wrong or of a kind they do not know
_DECODING = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
_MAXIMUM_PIXELS = 2**28  # of a frame: more than any detector has, so a broken or hostile header
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


def read(instance: Instance) -> Dataset:
    """The whole data set, with a transfer syntax even where the file has no meta header.

    Raises
    ------
    UnsuitableInput
        If the file cannot be read, or holds no pixels.
    """
    try:
        ds = pydicom.dcmread(instance.path, force=True)
        if not any(keyword in ds for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            raise UnsuitableInput("the object has no pixels")
        if "TransferSyntaxUID" not in ds.file_meta:
            ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(_guessed_syntax(ds))
        rows, columns, count = int(ds.Rows), int(ds.Columns), number_of_frames(ds)
    except UnsuitableInput:
        raise
    except (*_DECODING, pydicom.errors.InvalidDicomError) as error:
        raise UnsuitableInput(f"the image cannot be read: {type(error).__name__}") from error
    if not 0 < rows * columns <= _MAXIMUM_PIXELS or count < 1:
        raise UnsuitableInput(f"the image claims {rows} x {columns} pixels and {count} frames")
    return ds


def _guessed_syntax(ds: Dataset) -> str:
    implicit, little = ds.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def decoded(ds: Dataset, index: int = 0) -> NDArray[np.generic]:
    """The pixels of one frame (0-based) as stored, (H, W) or (H, W, 3); YBR is RGB already.

    Raises
    ------
    UnsuitableInput
        If no installed decoder can.
    """
    try:
        array = _by_gdcm(ds, index)
        if array is None:
            array = _by_pydicom(ds, index)
    except _DECODING as error:
        syntax = pydicom.uid.UID(str(ds.file_meta.TransferSyntaxUID)).name
        raise UnsuitableInput(f"the pixels cannot be decoded ({syntax}): {type(error).__name__}") from error
    if array.shape[:2] != (int(ds.Rows), int(ds.Columns)):
        raise UnsuitableInput("the pixels do not have the rows and columns that the header says")
    return array


def _by_pydicom(ds: Dataset, index: int) -> NDArray[np.generic]:
    syntax = pydicom.uid.UID(str(ds.file_meta.TransferSyntaxUID))
    array, _ = get_decoder(syntax).as_array(ds, index=index, raw=False)
    return np.asarray(array)


def _by_gdcm(ds: Dataset, index: int) -> NDArray[np.generic] | None:
    """GDCM's own reader, for 12-bit JPEG, which pydicom does not hand to it; None where it is not wanted or cannot.

    Nothing else goes this way: on a one-bit RLE object, for one, GDCM ends the whole process.
    """
    if ds.file_meta.TransferSyntaxUID != JPEGExtended12Bit or int(ds.BitsAllocated) != 16 or not ds.filename:
        return None
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(ds.filename))
    if not reader.Read():
        return None
    image = reader.GetImage()
    text = image.GetBuffer()
    if text is None:
        return None
    buffer = text.encode("utf-8", errors="surrogateescape")
    pixel_format = image.GetPixelFormat()
    size = pixel_format.GetBitsAllocated() // 8
    if size not in (1, 2, 4) or pixel_format.GetSamplesPerPixel() not in (1, 3):
        return None
    dtype = np.dtype(f"{'i' if pixel_format.GetPixelRepresentation() else 'u'}{size}")
    samples = int(pixel_format.GetSamplesPerPixel())
    shape = (-1, int(ds.Rows), int(ds.Columns), samples) if samples > 1 else (-1, int(ds.Rows), int(ds.Columns))
    if len(buffer) % (int(ds.Rows) * int(ds.Columns) * samples * size):
        return None
    array = np.frombuffer(buffer, dtype).reshape(shape)
    return array[index] if index < len(array) else None


# ---- meaning
def _picture(reference: ImageReference, header: Dataset, stored: NDArray[np.generic]) -> Picture:
    try:
        array, unit = _values(header, stored)
    except _DECODING as error:
        raise UnsuitableInput(f"the pixels' meaning cannot be read: {type(error).__name__}") from error
    pixel_mm, scale = pixel_size_mm(header)
    aspect = _aspect(header, pixel_mm)
    regions = ultrasound_regions(header)
    window = None if array.ndim == 3 else _window(header, array)
    return Picture(reference, array, unit, pixel_mm, scale, aspect, window, _affine(header, pixel_mm), regions)


def _values(header: Dataset, stored: NDArray[np.generic]) -> tuple[NDArray[np.generic], str]:
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    if photometric == "PALETTE COLOR":
        rgb = apply_color_lut(stored, header)[..., :3]
        return _eight_bit(rgb, 8 * rgb.dtype.itemsize), ""
    if stored.ndim == 3:
        return _eight_bit(stored, int(header.get("BitsStored") or 8)), ""
    values = real_values(stored, header)
    if photometric == "MONOCHROME1":  # the least value is white: turn it within its own range
        low, high = _stored_range(header, stored)
        values = np.float32(real_values(np.array([low, high]), header).sum()) - values
    return values, _unit(header)


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


def _stored_range(header: Dataset, array: NDArray[np.generic]) -> tuple[float, float]:
    """The least and the greatest value that can be stored; of float pixels, those that are."""
    bits = int(header.get("BitsStored") or 0)
    if not bits:
        return float(array.min()), float(array.max())
    return (
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if int(header.get("PixelRepresentation") or 0) else (0, 2**bits - 1)
    )


def _window(header: Dataset, array: NDArray[np.generic]) -> tuple[float, float] | None:
    """The first window of the header, turned where the picture was."""
    centre, width = number_in(header, "WindowCenter"), number_in(header, "WindowWidth")
    if centre is None or not width or width <= 0:
        return None
    if str(header.get("PhotometricInterpretation")) == "MONOCHROME1":
        low, high = _stored_range(header, array)
        centre = float(real_values(np.array([low, high]), header).sum()) - centre
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
