"""One reader for the headers of stored objects, and who they say the patient is."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Collection, Iterable
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

from dicom_sr.errors import UNREADABLE, why_unreadable
from node.errors import NodeError, ReadingFailed, StorageAway, UnreadableHeader
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

MAXIMUM_ITEMS = 1_000_000  # of sequences in a header: 20,000 frames with 20 macros have 400,000
LOOKED_THROUGH = 64 * 2**20  # bytes of a file in which its items are counted
MAXIMUM_INFLATED = 128 * 2**20  # bytes of a deflated data set; what follows them is left out
FUNCTIONAL_GROUPS = (Tag("SharedFunctionalGroupsSequence"), Tag("PerFrameFunctionalGroupsSequence"))
ITEM_MARKS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # (FFFE,E000) in either byte order
PIXEL_DATA, META_GROUP = 0x7FE00008, 0x0002  # the first of the elements that hold pixels
PIXEL_ELEMENTS = re.compile(rb"\xe0\x7f[\x08\x09\x10]\x00")  # and their tags, in little endian
META_BYTES = 4096  # in which a file says that it is deflated
PIECE = 2**20

_SEXES: dict[str, Sex] = {"F": "F", "M": "M", "O": "O"}


def read_header(path: Path, keywords: Iterable[str]) -> Dataset:
    """The named elements of a file, without pixels.

    Every value is read now, so that nothing can fail later. An element that does not hold what it should is left out.
    Of functional groups, only what is named or holds what is named is there: ten thousand frames have ten of each.

    Raises
    ------
    UnreadableHeader
        If it holds no DICOM, or what pydicom cannot read.
    ReadingFailed
        If it has more than any real header.
    StorageAway
        If the system does not let the file be read: nothing is known of it then.
    """
    return _read_header(lambda: path.open("rb"), keywords)


def _read_header(open_file: Callable[[], BinaryIO], keywords: Iterable[str]) -> Dataset:
    tags = [Tag(keyword) for keyword in keywords]
    try:
        with open_file() as file:
            header = _within_bounds(file, tags)
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageAway(unreadable(error)) from error
        raise UnreadableHeader(why_unreadable(error)) from error
    for tag in list(header.keys()):
        try:
            held = getattr(header.get_item(tag), "value", None)
            value = header[tag].value
            no_value = held and value is None  # its bytes are none of its VR
            if no_value or (tag in FUNCTIONAL_GROUPS and not isinstance(value, Sequence)):  # a text, for example
                del header[tag]
            if isinstance(value, Sequence):
                for item in value:
                    if tag in FUNCTIONAL_GROUPS:
                        _keep_what_is_named(item, tags)
                    item.decode()
        except UNREADABLE:
            del header[tag]
    return header


def _keep_what_is_named(group: Dataset, tags: Collection[BaseTag]) -> None:
    """Of the functional groups of a frame, leave out those that neither are named nor hold what is; none is read."""
    for tag in list(group.keys()):
        if tag not in tags and not _may_hold(group.get_item(tag), tags):
            del group[tag]


def _may_hold(element: object, tags: Collection[BaseTag]) -> bool:
    value = getattr(element, "value", None)
    if isinstance(value, bytes):
        order = "<HH" if getattr(element, "is_little_endian", True) else ">HH"
        return any(struct.pack(order, tag.group, tag.element) in value for tag in tags)
    return isinstance(value, Sequence) and any(tag in item for item in value for tag in tags)


def _within_bounds(file: BinaryIO, tags: list[BaseTag]) -> Dataset:
    """The named elements of a file, not yet read.

    pydicom makes an object of each item, and inflates all of a deflated data set, pixels included.

    Raises
    ------
    ReadingFailed
        If reading them would be too much.
    """
    beginning = file.read(META_BYTES)
    file.seek(0)
    if beginning.find(DeflatedExplicitVRLittleEndian.encode()) >= 0 and (inflated := _inflated(file)) is not None:
        _require_few_items(io.BytesIO(inflated))
        data_set = cast(BinaryIO, DicomBytesIO(inflated))
        return read_dataset(data_set, False, True, stop_when=lambda tag, *_: tag >= PIXEL_DATA, specific_tags=[*tags])
    file.seek(0)
    _require_few_items(file)
    file.seek(0)
    return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags, force=True)


def _require_few_items(file: BinaryIO) -> None:
    """Raise `ReadingFailed` if more items seem to begin before the pixels than any real header has.

    The same bytes may be a value.
    """
    count, looked, rest = 0, 0, b""
    while looked < LOOKED_THROUGH and count <= MAXIMUM_ITEMS and (read := file.read(PIECE)):
        piece = rest + read
        pixels = PIXEL_ELEMENTS.search(piece)
        count += max(piece.count(mark, 0, pixels.start() if pixels else len(piece)) for mark in ITEM_MARKS)
        if pixels:
            break
        looked, rest = looked + len(read), piece[-3:]  # a mark may lie across two pieces
    if count > MAXIMUM_ITEMS:
        raise ReadingFailed(f"its header has more than {MAXIMUM_ITEMS:,} items of sequences, more than are read")


def _inflated(file: BinaryIO) -> bytes | None:
    """The data set of a file, inflated (PS3.5 A.5) as far as a header may go; None if it is not deflated."""
    read_preamble(file, force=True)
    meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group != META_GROUP)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return None
    stream, inflated = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    while not stream.eof and len(inflated) < MAXIMUM_INFLATED:
        piece = stream.unconsumed_tail or file.read(PIECE)
        more = stream.decompress(piece, PIECE)
        if not piece and not more:
            raise zlib.error("the deflated data set is cut off")
        inflated += more
    return bytes(inflated)


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
    ReadingFailed
        If its header has more than any real one.
    StorageAway
        If the system does not let it be read.
    """
    return _study_header(lambda: path.open("rb"), default_issuer)


def study_header_in(content: bytes, default_issuer: str) -> StudyHeader:
    """As `study_header`, of an object that lies where its reader cannot see it."""
    return _study_header(lambda: io.BytesIO(content), default_issuer)


def _study_header(open_file: Callable[[], BinaryIO], default_issuer: str) -> StudyHeader:
    try:
        header = _read_header(open_file, (*PATIENT, *STUDY))
    except UnreadableHeader as error:
        raise NodeError(f"a stored object cannot be read: {error}") from error
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
