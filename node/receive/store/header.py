"""The few elements a receipt needs, read from the first bytes of an encoded data set; never a full decode.

pydicom is not used here: it builds an object per element and recurses into sequences, so that a small hostile data
set costs it hundreds of megabytes. This reader keeps a counter per open sequence, skips every value, and gives up at
fixed limits. What it needs lies in groups 0008 and 0020, before any pixel.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

from pydicom.charset import convert_encodings
from pydicom.tag import ItemDelimiterTag, ItemTag, SequenceDelimiterTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPIPHTJ2KReferencedDeflate,
)
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32
from pydicom.values import convert_PN, convert_text

from dicom_sr.errors import UNREADABLE
from dicom_sr.read.headers import MANUFACTURER as OURS
from node.receive.status import NotStored, Status
from node.study.headers import identity
from pipelines.records.record import Identity

SPECIFIC_CHARACTER_SET = 0x00080005
SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
ACCESSION_NUMBER = 0x00080050
MODALITY = 0x00080060
MANUFACTURER = 0x00080070
PATIENT_NAME = 0x00100010
PATIENT_ID = 0x00100020
ISSUER_OF_PATIENT_ID = 0x00100021
PATIENT_BIRTH_DATE = 0x00100030
PATIENT_SEX = 0x00100040
CONTRIBUTING_EQUIPMENT_SEQUENCE = 0x0018A001
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
NUMBER_OF_SERIES_RELATED_INSTANCES = 0x00201209
NEEDED = frozenset(  # a data set in which none of these is found cannot be read
    {
        SOP_CLASS_UID,
        SOP_INSTANCE_UID,
        MODALITY,
        STUDY_INSTANCE_UID,
        SERIES_INSTANCE_UID,
        NUMBER_OF_SERIES_RELATED_INSTANCES,
    }
)
PATIENT = (PATIENT_ID, ISSUER_OF_PATIENT_ID, PATIENT_NAME, PATIENT_BIRTH_DATE, PATIENT_SEX)
WANTED = NEEDED | {SPECIFIC_CHARACTER_SET, ACCESSION_NUMBER, MANUFACTURER, *PATIENT}
LAST = NUMBER_OF_SERIES_RELATED_INSTANCES  # elements come in ascending order (PS3.5 7.1): nothing after it is wanted

ITEM, ITEM_END, SEQUENCE_END = map(int, (ItemTag, ItemDelimiterTag, SequenceDelimiterTag))
UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)  # PS3.5 7.1.2
JPIP_REFERENCED_DEFLATE = "1.2.840.10008.1.2.4.95"  # PS3.6 A, retired; pydicom has no name for it
DEFLATED = frozenset({DeflatedExplicitVRLittleEndian, JPIP_REFERENCED_DEFLATE, JPIPHTJ2KReferencedDeflate})
STANDARD_SYNTAXES = "1.2.840.10008.1.2."  # PS3.5 10: Explicit VR Little Endian, but for those that are named here
FIRST_GROUPS = (0x0008, 0x0004, 0x0010)  # in which a data set begins

MAXIMUM_DEPTH = 64  # sequences in sequences; real objects stay under 10, and pydicom overflows its stack near 300
MAXIMUM_ELEMENTS = 200_000  # before (0020,1209); an enhanced series of 10,000 frames has its functional groups later
MAXIMUM_VALUE = 256  # bytes of a wanted value that are looked at
MAXIMUM_EQUIPMENT = 64 * 1024  # and of the Contributing Equipment Sequence, which has an item for each who handled it
MAXIMUM_DISORDER = 16  # elements out of ascending order (PS3.5 7.1): real files have one or two, zeros have thousands
INFLATED_AT_FIRST = 64 * 1024  # bytes of a deflated data set that are inflated to find them, and
MAXIMUM_INFLATED = 4 * 2**20  # that are inflated where these do not hold them
PIECE = 16 * 1024  # bytes of a file that are read at a time

# leading zeros and empty components are wrong (PS3.5 9.1) and real: they are let through; dots alone name a folder
_UID = re.compile(r"(?=\.*[0-9])[0-9.]{1,64}")
_MODALITY = re.compile(r"[A-Z0-9_ ]{1,16}")
# Manufacturer (0008,0070) of this software in an item, with explicit VR of either byte order or implicit VR
_OUR_EQUIPMENT = re.compile(
    rb"(?:\x08\0\x70\0(?:LO[\x07\x08]\0|[\x07\x08]\0\0\0)|\0\x08\0\x70LO\0[\x07\x08])" + OURS.encode()
)


class Header(NamedTuple):
    """What a receipt says of a data set."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    expected: int | None  # NumberOfSeriesRelatedInstances; ImagesInAcquisition counts an acquisition, not a series
    patient: Identity
    made_by_us: bool  # a result of this software, as `dicom_sr.read.headers.made_by_us` says of a whole header
    accession_number: str


class _Incomplete(Exception):
    """The wanted elements may lie beyond the end of the buffer."""


def is_uid(text: str) -> bool:
    """Whether `text` may stand as a UID: digits and dots, at most 64, not dots alone."""
    return _UID.fullmatch(text) is not None


def read_header(data: bytes | memoryview, transfer_syntax_uid: str, whole: bool) -> Header | None:
    """The header of an encoded data set, or None where `data` is only its beginning and too short.

    Parameters
    ----------
    data
        The encoded data set, without preamble and file meta; a view of a memory-mapped file too.
    whole
        Whether `data` is all of it. A wrong length in a whole data set ends the search instead of asking for more.

    Raises
    ------
    NotStored
        0xC000 if the bytes cannot be a data set in that transfer syntax, 0xC001 if it names no study or series.
    """
    transfer_syntax_uid = encoding(transfer_syntax_uid, data)
    if transfer_syntax_uid in DEFLATED:
        packed = bytes(data[:MAXIMUM_INFLATED])
        header = _read(_inflate(packed, INFLATED_AT_FIRST), transfer_syntax_uid, whole=False)
        return header or _read(_inflate(packed, MAXIMUM_INFLATED), transfer_syntax_uid, whole)
    return _read(data, transfer_syntax_uid, whole)


def encoding(transfer_syntax_uid: str, data: bytes | memoryview | FileBytes) -> str:
    """The transfer syntax that shows how a data set's elements are written, where its own is private or an odd one.

    Private syntaxes say so nowhere: the first element shows whether it names its VR. All are taken to be in little
    endian, as pydicom takes them wherever the instance is read again; others cannot be read, and are refused.
    """
    if transfer_syntax_uid == ImplicitVRLittleEndian or transfer_syntax_uid.startswith(STANDARD_SYNTAXES):
        return transfer_syntax_uid
    implicit = guess_encoding(data) == ImplicitVRLittleEndian
    return str(ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian)


def guess_encoding(data: bytes | memoryview | FileBytes) -> str | None:
    """The transfer syntax that the first element of a data set is written in; None where it is no data set's."""
    if len(data) < 8:
        return None
    vr = bytes(data[4:6])
    explicit = vr.isalpha() and vr.isupper()
    if int.from_bytes(data[:2], "little") in FIRST_GROUPS:
        return str(ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian)
    if int.from_bytes(data[:2], "big") in FIRST_GROUPS and explicit:
        return str(ExplicitVRBigEndian)
    return None


class FileBytes:
    """The bytes of a file from `start` on, read a piece at a time.

    For files of others, who may cut them at any time: in a memory map of such a file, that ends the process (SIGBUS).

    Parameters
    ----------
    descriptor
        Open on the file.
    start
        The byte that counts as the first.
    """

    def __init__(self, descriptor: int, start: int) -> None:
        self._descriptor, self._start = descriptor, start
        self._size = max(os.fstat(descriptor).st_size - start, 0)
        self._piece, self._at = b"", 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        begin, end, _ = part.indices(self._size)
        if begin < self._at or end > self._at + len(self._piece):
            self._piece, self._at = os.pread(self._descriptor, max(end - begin, PIECE), self._start + begin), begin
            if len(self._piece) < end - begin:  # it was cut just now
                raise _Incomplete
        return self._piece[begin - self._at : end - self._at]


def ends_early(data: bytes | memoryview | FileBytes, transfer_syntax_uid: str) -> bool:
    """Whether an encoded data set ends inside an element or a sequence: half a copy, or a file that was cut.

    Parameters
    ----------
    data
        All of it, without preamble and file meta.
    transfer_syntax_uid
        What it is written in. A deflated one is not looked into, and taken to be whole.
    """
    try:
        transfer_syntax_uid = encoding(transfer_syntax_uid, data)
        if transfer_syntax_uid in DEFLATED:
            return False
        _scan(data, transfer_syntax_uid, {}, to_the_end=True)
    except _Incomplete:
        return True
    except NotStored:  # it cannot be read: whoever reads it says so
        return False
    return False


def _read(data: bytes | memoryview, transfer_syntax_uid: str, whole: bool) -> Header | None:
    values: dict[int, bytes] = {}
    try:
        _scan(data, transfer_syntax_uid, values)
    except _Incomplete:
        if not whole:
            return None
    return _header(values)


def _header(found: dict[int, bytes]) -> Header:
    if not found.keys() & NEEDED:
        raise NotStored(Status.CANNOT_UNDERSTAND, "The data set cannot be read in its transfer syntax")
    values = {tag: found[tag].decode("ascii", "replace").strip("\0 ") for tag in NEEDED & found.keys()}
    study, series = values.get(STUDY_INSTANCE_UID, ""), values.get(SERIES_INSTANCE_UID, "")
    for name, uid in (("Study", study), ("Series", series)):
        if not is_uid(uid):
            raise NotStored(Status.NO_SERIES, f"{name} Instance UID is missing or not a UID")
    modality = values.get(MODALITY, "")
    count = values.get(NUMBER_OF_SERIES_RELATED_INSTANCES, "").strip()
    return Header(
        values.get(SOP_CLASS_UID, ""),
        values.get(SOP_INSTANCE_UID, ""),
        study,
        series,
        modality if _MODALITY.fullmatch(modality) else "",
        int(count) if count.isascii() and count.isdigit() and 0 < int(count) <= 1_000_000 else None,
        _patient(found.get(SPECIFIC_CHARACTER_SET, b""), *(found.get(tag, b"") for tag in PATIENT)),
        found.get(MANUFACTURER, b"").strip(b"\0 ") == OURS.encode()
        or _OUR_EQUIPMENT.search(found.get(CONTRIBUTING_EQUIPMENT_SEQUENCE, b"")) is not None,
        _text(found.get(SPECIFIC_CHARACTER_SET, b""), found.get(ACCESSION_NUMBER, b"")),
    )


@lru_cache(maxsize=1024)
def _patient(charset: bytes, patient_id: bytes, issuer: bytes, name: bytes, birth_date: bytes, sex: bytes) -> Identity:
    """Who the values, as they stand in the data set, say the patient is: the same for a whole series."""
    encodings = _encodings(charset)

    def value(convert: Callable[[bytes, list[str]], object], stored: bytes) -> object:
        try:
            return convert(stored, encodings)
        except UNREADABLE:  # left out, as `node.study.headers.read_header` does
            return None

    return identity(
        value(convert_text, patient_id),
        value(convert_text, issuer),
        value(convert_PN, name),
        value(convert_text, birth_date),
        value(convert_text, sex),
    )


@lru_cache(maxsize=1024)
def _text(charset: bytes, stored: bytes) -> str:
    """A value as text; empty where it is none."""
    try:
        return str(convert_text(stored, _encodings(charset))).strip("\0 ")
    except UNREADABLE:
        return ""


@lru_cache(maxsize=128)
def _encodings(charset: bytes) -> list[str]:
    """Python's names of what a Specific Character Set (0008,0005) says; of the default where it is none."""
    names = [name.strip("\0 ") for name in charset.decode("ascii", "replace").split("\\")]
    try:
        return convert_encodings(names)
    except UNREADABLE:
        return convert_encodings(None)


def _inflate(packed: bytes, size: int) -> bytes:
    """The first `size` bytes of a raw deflate stream (PS3.5 A.5): a bomb is cut there."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size)
    except zlib.error as error:
        raise NotStored(Status.CANNOT_UNDERSTAND, "The deflated data set cannot be inflated") from error


_LITTLE = (Struct("<HH"), Struct("<H"), Struct("<L"))
_BIG = (Struct(">HH"), Struct(">H"), Struct(">L"))


def _numbers_in(
    data: bytes | memoryview | FileBytes, layouts: tuple[Struct, ...]
) -> list[Callable[[Any, int], tuple[Any, ...]]]:
    """For each layout the function that unpacks it from such data, at a position."""
    if isinstance(data, FileBytes):
        return [lambda of, at, layout=layout: layout.unpack(of[at : at + layout.size]) for layout in layouts]  # type: ignore[misc]
    return [layout.unpack_from for layout in layouts]


def _scan(
    data: bytes | memoryview | FileBytes,
    transfer_syntax_uid: str,
    values: dict[int, bytes],
    *,
    to_the_end: bool = False,
) -> None:
    """Walk the elements of `data` into `values` up to (0020,1209), or to the end of the data.

    Some senders write implicit VR under an explicit transfer syntax; an element whose VR is not two capitals is read
    as implicit, as every toolkit does.
    """
    tag_of, short_of, long_of = _numbers_in(data, _BIG if transfer_syntax_uid == ExplicitVRBigEndian else _LITTLE)
    explicit = transfer_syntax_uid != ImplicitVRLittleEndian
    end = len(data)
    position = elements = disorder = previous = equipment = 0
    open_sequences: list[bool] = []  # per open sequence or item: whether explicit VR goes on after it
    while True:
        if position + 8 > end:
            # padding is found behind the last element of real files, so a few bytes too many are no element cut short
            if to_the_end and position <= end and not open_sequences:
                return
            raise _Incomplete
        group, element = tag_of(data, position)
        tag = group << 16 | element
        elements += 1
        if elements > MAXIMUM_ELEMENTS:
            raise NotStored(Status.CANNOT_UNDERSTAND, "Too many elements before the UIDs of the series")
        if open_sequences:
            if tag in (ITEM_END, SEQUENCE_END):
                # an item's end closes an item, a sequence's end a sequence; a wrong one closes what is open
                explicit = open_sequences.pop()
                position += 8
                continue
            if tag == ITEM:
                (length,) = long_of(data, position + 4)
                position += 8
                if length == UNDEFINED:
                    _descend(open_sequences, explicit)
                else:
                    position += length
                continue
        elif equipment:  # its sequence, of a length that is not stated, has ended
            stop = min(position, equipment + MAXIMUM_EQUIPMENT)
            values[CONTRIBUTING_EQUIPMENT_SEQUENCE] = bytes(data[equipment:stop])
            equipment = 0
            continue
        elif tag > LAST and not to_the_end:
            return
        elif tag <= previous:
            disorder += 1
            if disorder > MAXIMUM_DISORDER:
                raise NotStored(Status.CANNOT_UNDERSTAND, "The elements are in no order")
        else:
            previous = tag
        vr = bytes(data[position + 4 : position + 6]) if explicit else b""
        if vr in LONG_VRS:
            if position + 12 > end:
                raise _Incomplete
            (length,) = long_of(data, position + 8)
            position += 12
        elif vr.isalpha() and vr.isupper():
            (length,) = short_of(data, position + 6)
            position += 8
        else:
            (length,) = long_of(data, position + 4)
            position += 8
        if length == UNDEFINED:
            if tag == CONTRIBUTING_EQUIPMENT_SEQUENCE and not open_sequences:
                equipment = position
            _descend(open_sequences, explicit)
            explicit = explicit and vr != b"UN"  # PS3.5 6.2.2 note: such a UN holds implicit VR
            continue
        if tag in WANTED and not open_sequences:
            stop = min(position + length, position + MAXIMUM_VALUE)
            if stop > end:
                raise _Incomplete
            values[tag] = bytes(data[position:stop])
            if tag == LAST and not to_the_end:
                return
        elif tag == CONTRIBUTING_EQUIPMENT_SEQUENCE and not open_sequences:
            if position + length > end:
                raise _Incomplete
            values[tag] = bytes(data[position : position + min(length, MAXIMUM_EQUIPMENT)])
        position += length


def _descend(open_sequences: list[bool], explicit: bool) -> None:
    if len(open_sequences) >= 2 * MAXIMUM_DEPTH:  # a sequence and its item are a level each
        raise NotStored(Status.CANNOT_UNDERSTAND, f"Sequences nested deeper than {MAXIMUM_DEPTH}")
    open_sequences.append(explicit)
