"""One reader for the headers of stored objects, and who they say the patient is."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import BinaryIO, cast

import pydicom
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset, read_preamble
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pydicom.valuerep import PersonName

from dicom_sr.errors import UNREADABLE
from node.errors import NodeError, StorageAway
from node.study.images import unreadable
from pipelines.records.dates import partial_date
from pipelines.records.record import Identity, Sex

PATIENT = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
)
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "AcquisitionDate")

MAXIMUM_ITEMS = 200_000  # of sequences in a header; one of 10,000 frames has some 100,000
MAXIMUM_INFLATED = 64 * 2**20  # bytes before the pixels of a deflated data set
ITEM_MARKS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # (FFFE,E000) in either byte order
PIXEL_MARK = b"\xe0\x7f\x10\x00"  # (7FE0,0010) in little endian
PIXEL_DATA, META_GROUP = 0x7FE00008, 0x0002  # the first of the elements that hold pixels
META_BYTES = 4096  # in which a file says that it is deflated
PIECE = 2**20

_SEXES: dict[str, Sex] = {"F": "F", "M": "M", "O": "O"}


def read_header(path: Path, keywords: Iterable[str]) -> Dataset | None:
    """The named elements of a file, without pixels; None if it holds no DICOM, or a header beyond all measure.

    Every value is read now, so that nothing can fail later. An element that does not hold what it should is left out.

    Raises
    ------
    StorageAway
        If the system does not let the file be read: nothing is known of it then.
    """
    try:
        header = _within_bounds(path, [Tag(keyword) for keyword in keywords])
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageAway(unreadable(error)) from error
        return None
    if header is None:
        return None
    for tag in list(header.keys()):
        try:
            held = getattr(header.get_item(tag), "value", None)
            value = header[tag].value
            if held and value is None:  # its bytes are no value of its VR
                del header[tag]
            if isinstance(value, Sequence):
                for item in value:
                    item.decode()
        except UNREADABLE:
            del header[tag]
    return header


def _within_bounds(path: Path, tags: list[BaseTag]) -> Dataset | None:
    """The named elements of a file, not yet read; None where reading them would be too much.

    pydicom makes an object of each item, and inflates all of a deflated data set, pixels included.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if _items(content, content.find(PIXEL_MARK)) > MAXIMUM_ITEMS:
            return None
        if content.find(DeflatedExplicitVRLittleEndian.encode(), 0, META_BYTES) < 0:
            return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags, force=True)
        read_preamble(file, force=True)
        meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group != META_GROUP)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            file.seek(0)
            return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags, force=True)
        inflated = _inflated_header(file)
    if inflated is None or _items(inflated, len(inflated)) > MAXIMUM_ITEMS:
        return None
    return read_dataset(
        cast(BinaryIO, DicomBytesIO(inflated)),
        False,
        True,
        stop_when=lambda tag, *_: tag >= PIXEL_DATA,
        specific_tags=[*tags],
    )


def _items(content: bytes | mmap.mmap, end: int) -> int:
    """How many items begin before `end` (-1: anywhere), or a few more: the same bytes may stand in a value."""
    count, end = 0, len(content) if end < 0 else end
    for mark in ITEM_MARKS:
        at = content.find(mark, 0, end)
        while at >= 0 and count <= MAXIMUM_ITEMS:
            count += 1
            at = content.find(mark, at + len(mark), end)
    return count


def _inflated_header(file: BinaryIO) -> bytes | None:
    """What is left of the file, inflated up to the pixels (PS3.5 A.5); None where that is too much."""
    stream, inflated = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    while piece := stream.unconsumed_tail or file.read(PIECE):
        seen = max(len(inflated) - len(PIXEL_MARK), 0)
        inflated += stream.decompress(piece, PIECE)
        if inflated.find(PIXEL_MARK, seen) >= 0 or stream.eof:
            return bytes(inflated)
        if len(inflated) > MAXIMUM_INFLATED:
            return None
    raise zlib.error("the deflated data set is cut off")


@dataclass(frozen=True)
class StudyHeader:
    """Who the patient is and which study it is, as a stored object says."""

    who: Identity = field(repr=False)
    study_instance_uid: str
    study_date: str  # as it stands there
    study_time: str
    day: date | None  # of the study, or else of the acquisition

    @classmethod
    def of(cls, header: Dataset, default_issuer: str) -> StudyHeader:
        """What a header says of its study; a patient ID without an issuer is of `default_issuer`."""
        return cls(
            identity_in(header, default_issuer),
            str(header.get("StudyInstanceUID") or ""),
            str(header.get("StudyDate") or ""),
            str(header.get("StudyTime") or ""),
            day(header.get("StudyDate")) or day(header.get("AcquisitionDate")),
        )


def study_header(path: Path, default_issuer: str) -> StudyHeader:
    """What a stored object says of its study; a patient ID without an issuer is of `default_issuer`.

    Raises
    ------
    NodeError
        If the object holds no DICOM.
    StorageAway
        If the system does not let it be read.
    """
    header = read_header(path, (*PATIENT, *STUDY))
    if header is None:
        raise NodeError("a stored object cannot be read")
    return StudyHeader.of(header, default_issuer)


def identity_in(header: Dataset, default_issuer: str = "") -> Identity:
    """Who the header of an image or a report says the patient is.

    A patient ID without an issuer is of `default_issuer`.
    """
    return identity(
        header.get("PatientID"),
        _text(header.get("IssuerOfPatientID")) or default_issuer,
        header.get("PatientName"),
        header.get("PatientBirthDate"),
        header.get("PatientSex"),
    )


def identity(patient_id: object, issuer: object, name: object, birth_date: object, sex: object) -> Identity:
    """Who the values of the data elements, as pydicom gives them, say the patient is."""
    first = name[0] if isinstance(name, MultiValue) else name
    who = first if isinstance(first, PersonName) else PersonName("")
    return Identity(
        _text(patient_id),
        _text(issuer),
        str(who.family_name),
        str(who.given_name),
        sex=_SEXES.get(_text(sex), "U"),
    ).born(partial_date(_text(birth_date)))


def _text(value: object) -> str:
    """A value as it stands in the file: several with a backslash between them."""
    if isinstance(value, MultiValue):
        return "\\".join(map(str, value)).strip()
    return str(value or "").strip()


def day(value: object) -> date | None:
    """The day of a DICOM date or time stamp; None where it is none, or only a month or a year."""
    found = partial_date(str(value or ""))
    return found.first if found is not None and found.precision == "day" else None
