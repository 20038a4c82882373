"""From files to the stored values of their pixels: decoded, their own bits only, padding dark.

This is the one decoder of pixels: what a pipeline sees of an image went through here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import get_j2k_parameters
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGExtended12Bit,
    RLELossless,
)

from dicom_sr.errors import UNREADABLE, UnsuitableInput
from dicom_sr.header_numbers import lacking, needed_whole_number, rescale_in, whole_number_in
from dicom_sr.photometric import KNOWN, least_is_white, photometric
from dicom_sr.read.frames import number_of_frames
from dicom_sr.series import Instance

DECODING = (*UNREADABLE, EOFError, MemoryError, RuntimeError)  # what decoders raise for pixels that are cut or wrong
_MAXIMUM_PIXELS = 2**28  # of a frame: more than any detector has, so a broken or hostile header
_ONE_SAMPLE = {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}


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
        rows, columns = needed_whole_number(ds, "Rows"), needed_whole_number(ds, "Columns")
        _complete(ds)
    except UnsuitableInput:
        raise
    except DECODING as error:
        raise UnsuitableInput("the image cannot be read: its file is damaged or cut off") from error
    if not 0 < rows * columns <= _MAXIMUM_PIXELS:
        raise UnsuitableInput(f"the image claims {rows} x {columns} pixels")
    return ds


def _complete(ds: Dataset) -> None:
    """Put in what a decoder asks for and the rest of the header tells; refuse what nothing tells (PS3.3 C.7.6.3)."""
    if photometric(ds) not in KNOWN:
        raise UnsuitableInput(lacking(ds, "PhotometricInterpretation", "one of " + ", ".join(KNOWN)))
    ds.PhotometricInterpretation = photometric(ds)
    for keyword in ("BitsAllocated", "BitsStored", "PixelRepresentation") if "PixelData" in ds else ("BitsAllocated",):
        needed_whole_number(ds, keyword)
    allocated = needed_whole_number(ds, "BitsAllocated")
    if "PixelData" in ds and not 0 < needed_whole_number(ds, "BitsStored") <= allocated:
        raise UnsuitableInput(lacking(ds, "BitsStored", f"a number from 1 to BitsAllocated, {allocated}"))
    if whole_number_in(ds, "SamplesPerPixel") is None:
        ds.SamplesPerPixel = 1 if ds.PhotometricInterpretation in _ONE_SAMPLE else 3
    if ds.SamplesPerPixel != 1 and whole_number_in(ds, "PlanarConfiguration") is None:
        ds.PlanarConfiguration = 0
    ds.NumberOfFrames = number_of_frames(ds)


def _guessed_syntax(ds: Dataset) -> str:
    implicit, little = ds.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def decoded(ds: Dataset, index: int = 0) -> NDArray[np.generic]:
    """The pixels of one frame (0-based) as stored, (H, W) or (H, W, 3); YBR is RGB already.

    Of a grey pixel's cell only its own bits count, whatever else lies in it, and padding is as dark as can be.

    Raises
    ------
    UnsuitableInput
        If no installed decoder can.
    """
    try:
        array = _by_gdcm(ds, index)
        precision = _precision(ds, index)
        if array is None:
            array = _by_pydicom(ds, index, precision)
        if array.ndim == 2 and array.dtype.kind in "iu":
            array = without_padding(ds, own_bits(ds, array, precision), array)
    except DECODING as error:
        syntax = pydicom.uid.UID(str(ds.file_meta.TransferSyntaxUID))
        raise UnsuitableInput(f"the pixels cannot be decoded ({syntax.name}): {_trouble(ds, syntax)}") from error
    if array.shape[:2] != (int(ds.Rows), int(ds.Columns)):
        raise UnsuitableInput("the pixels do not have the rows and columns that the header says")
    return array


def _trouble(ds: Dataset, syntax: pydicom.uid.UID) -> str:
    """Why pixels cannot be decoded, as far as the header and their length tell."""
    if not syntax.is_transfer_syntax:
        return "only its maker knows how they are coded"
    if not syntax.is_encapsulated and "PixelData" in ds:
        cells = int(ds.Rows) * int(ds.Columns) * int(ds.SamplesPerPixel) * number_of_frames(ds)
        needed, found = -(-cells * int(ds.BitsAllocated) // 8), len(ds.PixelData or b"")
        if found < needed:
            return f"PixelData is cut off, {found} bytes where the header needs {needed}"
    return "they are damaged, cut off, or of a kind that no decoder knows"


def own_bits(ds: Dataset, cells: NDArray[np.generic], precision: int | None) -> NDArray[np.generic]:
    """The pixels' own bits of their cells (PS3.5 8.1.1): others hold overlays, or what a device left there.

    Parameters
    ----------
    ds
        With BitsStored, HighBit and PixelRepresentation.
    cells
        (H, W) integers as they were decoded.
    precision
        Bits of a sample in the compressed stream, None where cells are not compressed or compressed as they are (RLE).
        A stream without the bits around the pixel begins with the pixel's first one.
    """
    size = 8 * cells.dtype.itemsize
    said = whole_number_in(ds, "BitsStored") or 0
    said = said if 0 < said <= size else size
    high = whole_number_in(ds, "HighBit")
    stored, lowest = min(said, precision or size), 0 if high is None else high + 1 - said
    if lowest < 0 or lowest + stored > min(size, precision or size):
        lowest = 0  # such a HighBit cannot be meant, and viewers do not look at it
    signed = cells.view(np.dtype(f"i{cells.dtype.itemsize}").newbyteorder(cells.dtype.byteorder))
    top = signed << (size - lowest - stored)  # the pixel's bits are the first of the cell, and shifted back below
    if whole_number_in(ds, "PixelRepresentation"):
        return np.asarray(top >> (size - stored))
    return np.asarray(
        top.view(np.dtype(f"u{cells.dtype.itemsize}").newbyteorder(top.dtype.byteorder)) >> (size - stored)
    )


def _precision(ds: Dataset, index: int) -> int | None:
    """Bits of a sample in the compressed stream of a frame; None where there is no stream that says."""
    syntax = pydicom.uid.UID(str(ds.file_meta.TransferSyntaxUID))
    if not syntax.is_encapsulated or syntax == RLELossless:
        return None
    offsets = (ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths) if "ExtendedOffsetTable" in ds else None
    stream = get_frame(ds.PixelData, index, number_of_frames=number_of_frames(ds), extended_offsets=offsets)
    if syntax in JPEG2000TransferSyntaxes:
        return int(get_j2k_parameters(stream).get("precision", 0)) or None
    return _jpeg_precision(stream)


def _jpeg_precision(stream: bytes) -> int | None:
    """Bits of a sample, from the start of frame of JPEG (ITU-T T.81 B.2.2) and JPEG-LS (T.87 C.2.2)."""
    at = 2
    while at + 5 <= len(stream) and stream[at] == 0xFF:
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4])
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return stream[at + 4]
        else:
            at += 2 + length
    return None


def without_padding(ds: Dataset, stored: NDArray[np.generic], cells: NDArray[np.generic]) -> NDArray[np.generic]:
    """The pixels with those of PixelPaddingValue, or between it and PixelPaddingRangeLimit, as dark as can be.

    PS3.3 C.7.5.1.1.2. As dark as can be is the end of the range of unsigned pixels; of signed ones, whose range says
    nothing, it is the darkest pixel of the picture, or 0 where that is darker.

    Parameters
    ----------
    ds
        With PhotometricInterpretation.
    stored
        (H, W) the pixels' own bits.
    cells
        (H, W) what they were taken from: padding that its own bits cannot hold is looked for there.
    """
    padding = whole_number_in(ds, "PixelPaddingValue")
    if padding is None:
        return stored
    limit = whole_number_in(ds, "PixelPaddingRangeLimit")
    signed = stored.dtype.kind == "i"
    ends = [padding, padding if limit is None else limit]
    is_padding = _between(stored, ends)
    least, greatest = stored_range(ds, stored)
    if any(not least <= _as_cell(end, stored.dtype) <= greatest for end in ends):
        is_padding |= _between(cells.astype(stored.dtype), ends)
    if not is_padding.any() or is_padding.all():
        return stored
    picture = stored[~is_padding]
    low, high = (min(picture.min(), 0), max(picture.max(), 0)) if signed else stored_range(ds, stored)
    slope, _ = rescale_in(ds) or (1.0, 0.0)
    dark_is_high = least_is_white(ds) != (slope < 0)
    return np.where(is_padding, np.asarray(high if dark_is_high else low, stored.dtype), stored)


def _between(values: NDArray[np.generic], ends: list[int]) -> NDArray[np.bool_]:
    """Where integers lie between two numbers, whichever representation these are written in."""
    low, high = (_as_cell(end, values.dtype) for end in sorted(ends))
    if values.dtype.kind == "i":
        low, high = min(low, high), max(low, high)
    above, below = np.greater_equal(values, low), np.less_equal(values, high)
    # of unsigned values, a range from below 0 to above it is at both ends
    return np.asarray(above & below if low <= high else above | below, np.bool_)


def _as_cell(value: int, dtype: np.dtype[Any]) -> int:
    """The number that `value` is in a cell: some devices write it in the other representation."""
    count = 1 << 8 * dtype.itemsize
    return (value + count // 2) % count - count // 2 if dtype.kind == "i" else value % count


def _by_pydicom(ds: Dataset, index: int, precision: int | None) -> NDArray[np.generic]:
    syntax = pydicom.uid.UID(str(ds.file_meta.TransferSyntaxUID))
    # `own_bits` says what the bits of a cell mean, for every syntax alike
    grey: Any = dict.fromkeys(("correct_unused_bits", "apply_j2k_sign_correction", "apply_jls_sign_correction"), False)
    if precision is not None:
        grey["bits_stored"] = precision
    array, _ = get_decoder(syntax).as_array(ds, index=index, raw=False, **(grey if ds.SamplesPerPixel == 1 else {}))
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


def stored_range(header: Dataset, array: NDArray[np.generic]) -> tuple[float, float]:
    """The least and the greatest value that can be stored; of float pixels, those that are."""
    bits = whole_number_in(header, "BitsStored")
    if not bits:
        return float(array.min()), float(array.max())
    signed = whole_number_in(header, "PixelRepresentation")
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
