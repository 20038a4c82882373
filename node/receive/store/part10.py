"""The file meta information of a stored instance (PS3.10 7.1): written for C-STORE, read for files that come in."""

from __future__ import annotations

import re
from functools import lru_cache
from struct import pack, unpack_from
from typing import IO, NamedTuple

from node.receive.status import NotStored, Status
from node.receive.store.header import guess_encoding

# a UUID of our own under 2.25 (PS3.5 B.2): says which software wrote the file, in negotiation and file meta
IMPLEMENTATION_CLASS_UID = "2.25.176161300527661897144499962241426005139"
IMPLEMENTATION_VERSION_NAME = "CONDYLE_1"

PREAMBLE = 128
_MAXIMUM_META = 64 * 1024  # real ones are under 1 kB; private information (0002,0102) can make it longer
_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")  # PS3.5 6.2: no backslash, no control characters


class Meta(NamedTuple):
    """What a Part 10 file says before its data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    length: int  # bytes before the data set; 0 where the file starts with it


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return pack("<HH2sH", 2, number, vr, len(value)) + value


@lru_cache(maxsize=1024)
def _fixed(sop_class_uid: str, transfer_syntax_uid: str, source_ae_title: str) -> tuple[bytes, bytes]:
    """The parts of the file meta before and after the SOP Instance UID: they repeat for a whole series."""
    before = pack("<HH2sHL", 2, 1, b"OB", 0, 2) + b"\0\1" + _element(2, b"UI", sop_class_uid.encode())
    after = (
        _element(0x10, b"UI", transfer_syntax_uid.encode())
        + _element(0x12, b"UI", IMPLEMENTATION_CLASS_UID.encode())
        + _element(0x13, b"SH", IMPLEMENTATION_VERSION_NAME.encode())
    )
    if _AE_TITLE.fullmatch(source_ae_title):
        after += _element(0x16, b"AE", source_ae_title.encode())
    return before, after


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str) -> bytes:
    """Preamble, prefix and file meta group that go before a data set as it was sent.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid, transfer_syntax_uid
        Of the data set that follows.
    source_ae_title
        Of the sender; empty where there is none.
    """
    before, after = _fixed(sop_class_uid, transfer_syntax_uid, source_ae_title)
    group = before + _element(3, b"UI", sop_instance_uid.encode()) + after
    return bytes(PREAMBLE) + b"DICM" + pack("<HH2sHL", 2, 0, b"UL", 4, len(group)) + group


def has_mark(head: bytes) -> bool:
    """Whether a file that begins so says itself that it is DICOM (PS3.10 7.1); some lack the preamble."""
    return head[PREAMBLE : PREAMBLE + 4] == b"DICM" or head[:4] == b"DICM"


def read_meta(file: IO[bytes], stated: str = "") -> Meta:
    """The file meta of a Part 10 file; where there is none, the transfer syntax that the first element shows.

    The file's position is of no matter before, and undefined after. At most 64 kB are read.

    Parameters
    ----------
    stated
        The transfer syntax where the file itself names none and whoever sent it does.

    Raises
    ------
    NotStored
        0xC000 if it is no DICOM file.
    """
    file.seek(0)
    head = file.read(_MAXIMUM_META)
    if head[PREAMBLE : PREAMBLE + 4] == b"DICM":
        return _group_2(head, PREAMBLE + 4, stated)
    if head[:4] == b"DICM":
        return _group_2(head, 4, stated)
    if head[:2] == b"\2\0":  # a file meta group without preamble
        return _group_2(head, 0, stated)
    guessed = _guess(head, 0)  # also where it is stated: what begins otherwise is no data set
    return Meta("", "", stated or guessed, 0)


def _group_2(head: bytes, start: int, stated: str) -> Meta:
    """Read group 0002; its own length element is not trusted (it is wrong or missing in real files)."""
    values: dict[int, str] = {}
    position = start
    while position + 8 <= len(head) and head[position : position + 2] == b"\2\0":
        number, vr, length = unpack_from("<H2sH", head, position + 2)
        body = position + 8
        if vr in (b"OB", b"UN", b"OW"):
            if position + 12 > len(head):
                break
            (length,) = unpack_from("<L", head, position + 8)
            body = position + 12
        elif not (vr.isalpha() and vr.isupper()):  # implicit VR in the meta group: wrong, and seen
            (length,) = unpack_from("<L", head, position + 4)
        values[number] = head[body : body + min(length, 64)].decode("ascii", "replace").strip("\0 ")
        position = body + length
    if position > len(head):
        raise NotStored(Status.CANNOT_UNDERSTAND, "The file meta information does not end")
    syntax = values.get(0x10, "") or stated or _guess(head, position)
    return Meta(values.get(2, ""), values.get(3, ""), syntax, position)


def _guess(head: bytes, position: int) -> str:
    """The transfer syntax that the first element of a data set is written in, where nobody says."""
    first = head[position : position + 8]
    syntax = guess_encoding(first) if len(first) == 8 else None
    if syntax is None:
        if position:
            raise NotStored(Status.CANNOT_UNDERSTAND, "No data set follows the file meta information")
        what = "too short for DICOM" if len(first) < 8 else "not DICOM"
        raise NotStored(Status.CANNOT_UNDERSTAND, f"The file is {what}")
    return syntax
