"""A Secondary Capture as a PNG for the page."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import pydicom
from PIL import Image


@lru_cache(maxsize=128)
def png(path: Path, width: int | None) -> bytes:
    """The picture in the RGB or monochrome 8-bit object at `path`; not wider than `width` pixels, where it is given.

    Raises
    ------
    OSError
        If the file is not there (any more).
    """
    array = pydicom.dcmread(path).pixel_array
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
