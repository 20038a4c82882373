"""Part 10 files in explicit VR little endian, of elements that are encoded beforehand and written in turn."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_sr.errors import EncodingError
from dicom_sr.uids import uid
from dicom_sr.write.explicit_vr import encoded

IMPLEMENTATION_CLASS_UID = uid("2.25", "implementation")
IMPLEMENTATION_VERSION_NAME = "CONDYLE"
LONGEST = 0xFFFFFFFE  # bytes of a value of known length, which is even (PS3.5 7.1)


@dataclass(frozen=True)
class File:
    """What was written."""

    sha256: str
    size: int  # bytes


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


def pixel_data(vr: str, pixels: bytes) -> tuple[bytes, ...]:
    """The element of the pixels of one frame, in pieces."""
    padding = b"\0" * (len(pixels) % 2)
    return element_header("PixelData", vr, len(pixels) + len(padding)), pixels, padding


def meta_information(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Preamble and file meta information (PS3.10 7.1) of an object of this node."""
    before, after = _same_for_all(sop_class_uid)
    own = Dataset()
    own.MediaStorageSOPInstanceUID = sop_instance_uid
    content = b"".join((before, encoded(own), after))
    return b"".join((b"\0" * 128, b"DICM", struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(content)), content))


@cache
def _same_for_all(sop_class_uid: str) -> tuple[bytes, bytes]:
    """The elements before and after the UID of the instance."""
    before, after = Dataset(), Dataset()
    before.FileMetaInformationVersion, before.MediaStorageSOPClassUID = b"\0\1", sop_class_uid
    after.TransferSyntaxUID = ExplicitVRLittleEndian
    after.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    after.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return encoded(before), encoded(after)


def write_part10(path: Path, pieces: Iterable[bytes]) -> File:
    """Write a file, in place of one that lies there.

    Parameters
    ----------
    path
        Of the file.
    pieces
        What it holds, in pieces of any size. They are written as they come, and need not be in memory together.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            size += file.write(piece)
    return File(digest.hexdigest(), size)
