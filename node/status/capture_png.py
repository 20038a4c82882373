"""A Secondary Capture as a PNG for the page."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import pydicom
from PIL import Image
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

AS_WRITTEN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
LARGEST_BYTES = 256 * 2**20


@lru_cache(maxsize=128)
def png(path: Path, width: int | None) -> bytes:
    """The picture in the RGB or monochrome 8-bit object at `path`; not wider than `width` pixels, where it is given.

    Raises
    ------
    OSError
        If the file is not there (any more), or holds no capture as the node writes them. Nothing that could grow is
        unpacked or decoded in this process.
    """
    try:
        written_so = read_file_meta_info(path).TransferSyntaxUID in AS_WRITTEN and path.stat().st_size <= LARGEST_BYTES
        array = pydicom.dcmread(path).pixel_array if written_so else None
    except (AttributeError, InvalidDicomError, ValueError) as error:
        raise OSError(f"{path.name}: cannot be read as a capture") from error
    if array is None:
        raise OSError(f"{path.name}: is no capture as the node writes them")
    if array.ndim == 4 or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        array = array[0]  # of several frames the first
    picture = Image.fromarray(array)
    if width is not None and picture.width > width:
        picture = picture.resize(
            (width, max(1, round(picture.height * width / picture.width))), Image.Resampling.LANCZOS
        )
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()
