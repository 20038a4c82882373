"""Part 10 files in explicit VR little endian, of elements that are encoded beforehand and written in turn."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.charset import convert_encodings
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicom_sr.errors import EncodingError

LONGEST = 0xFFFFFFFE  # bytes of a value of known length, which is even (PS3.5 7.1)
_ITEM = b"\xfe\xff\x00\xe0"
_UTF_8 = convert_encodings("ISO_IR 192")  # the character set of every object


@dataclass(frozen=True)
class File:
    """What was written."""

    sha256: str
    size: int  # bytes


def encoded(ds: Dataset) -> bytes:
    """The elements of `ds` in explicit VR little endian, its texts in UTF-8 where it names no character set."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds, _UTF_8)
    return bytes(buffer.getvalue())


def encoded_item(ds: Dataset) -> bytes:
    """`ds` as an item of a sequence."""
    content = encoded(ds)
    return _ITEM + struct.pack("<L", len(content)) + content


def element_header(keyword: str, vr: str, length: int) -> bytes:
    """What stands before the value of an element.

    Parameters
    ----------
    keyword
        Of the element.
    vr
        One whose length takes four bytes: SQ, or that of pixels.
    length
        Of the value in bytes.

    Raises
    ------
    EncodingError
        If no element can be that long.
    """
    if length > LONGEST:
        raise EncodingError(f"{keyword} would take {length} bytes, and an element holds at most {LONGEST}")
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)


def write_part10(path: Path, ds: Dataset, tail: Iterable[bytes] = ()) -> File:
    """Write a file, in place of one that lies there.

    Parameters
    ----------
    path
        Of the file.
    ds
        A data set with its file meta information and preamble.
    tail
        Encoded elements with tags above those of `ds`, in pieces of any size. They are written as they come, so that
        they need not be in memory together.
    """
    buffer = BytesIO()  # pydicom writes element by element
    ds.save_as(buffer, enforce_file_format=True)
    head = buffer.getbuffer()
    digest, size = hashlib.sha256(head), head.nbytes
    with path.open("wb") as file:
        file.write(head)
        for piece in tail:
            digest.update(piece)
            size += file.write(piece)
    return File(digest.hexdigest(), size)
