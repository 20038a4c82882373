"""What an N-ACTION or N-EVENT-REPORT of storage commitment says (PS3.4 J.3), read within limits.

pydicom makes several objects of each item, so that 16 MB of small ones take the memory and the minutes of a process.
Here the bytes are walked through once, and only transaction, references and failure reasons are kept.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import ItemDelimiterTag, ItemTag, SequenceDelimiterTag, Tag
from pydicom.uid import UID
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from node.errors import NodeError

MAXIMUM_BYTES = 16 * 2**20  # of the data set; 50,000 references take 8 MB
MAXIMUM_ITEMS = 100_000
MAXIMUM_ELEMENTS = 400_000
MAXIMUM_DEPTH = 8  # sequences in sequences; the standard has 2

INVALID_ARGUMENT, RESOURCE_LIMITATION = 0x0115, 0x0213  # PS3.7 C.5.6, C.4.3
TOO_LONG = f"is longer than {MAXIMUM_BYTES} bytes"

TRANSACTION_UID, FAILED_SEQUENCE, REFERENCED_SEQUENCE = 0x00081195, 0x00081198, 0x00081199
SOP_CLASS_UID, SOP_INSTANCE_UID, FAILURE_REASON = 0x00081150, 0x00081155, 0x00081197
_VALUES = frozenset({TRANSACTION_UID, SOP_CLASS_UID, SOP_INSTANCE_UID, FAILURE_REASON})
_SEQUENCES = frozenset({FAILED_SEQUENCE, REFERENCED_SEQUENCE})
_ITEM, _ITEM_END, _SEQUENCE_END = map(int, (ItemTag, ItemDelimiterTag, SequenceDelimiterTag))
_UNDEFINED = 0xFFFFFFFF
_LONG = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)

Reference: TypeAlias = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""
Failure: TypeAlias = tuple[str, str, int]
"""As a reference, and the reason (PS3.3 C.14.1.1)."""
_Found: TypeAlias = dict[int, "bytes | list[_Found]"]


class NotTaken(NodeError):
    """The data set is beyond the limits, or cannot be read: `status` is the answer (PS3.7 C)."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Information:
    """What is left of such a data set."""

    transaction_uid: str = ""
    references: list[list[str]] = field(default_factory=list)  # SOP class and SOP instance UID, each pair once
    failed: dict[str, int] = field(default_factory=dict)  # failure reason by SOP Instance UID


def read_information(encoded: bytes, syntax: str) -> Information:
    """Transaction, references and failures of a data set.

    Parameters
    ----------
    encoded
        The data set as it came.
    syntax
        Transfer syntax UID of its presentation context.

    Raises
    ------
    NotTaken
    """
    uid = UID(syntax)
    if len(encoded) > MAXIMUM_BYTES:
        raise NotTaken(RESOURCE_LIMITATION, TOO_LONG)
    try:
        if uid.is_deflated:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            encoded = inflater.decompress(encoded, MAXIMUM_BYTES)
            if inflater.unconsumed_tail:
                raise NotTaken(RESOURCE_LIMITATION, TOO_LONG)
        found = _Walk(encoded, uid.is_little_endian).whole(explicit=not uid.is_implicit_VR)
    except (struct.error, zlib.error) as error:
        raise NotTaken(INVALID_ARGUMENT, "cannot be read") from error
    pairs = ((_text(item, SOP_CLASS_UID), _text(item, SOP_INSTANCE_UID)) for item in _items(found, REFERENCED_SEQUENCE))
    order: Literal["little", "big"] = "little" if uid.is_little_endian else "big"
    return Information(
        _text(found, TRANSACTION_UID),
        [list(pair) for pair in dict.fromkeys(pairs)],
        {
            _text(item, SOP_INSTANCE_UID): int.from_bytes(_bytes(item, FAILURE_REASON)[:2], order)
            for item in _items(found, FAILED_SEQUENCE)
        },
    )


def _items(found: _Found, tag: int) -> list[_Found]:
    value = found.get(tag)
    return value if isinstance(value, list) else []


def _bytes(found: _Found, tag: int) -> bytes:
    value = found.get(tag)
    return value if isinstance(value, bytes) else b""


def _text(found: _Found, tag: int) -> str:
    return _bytes(found, tag).rstrip(b"\0 ").decode("ascii", "replace")


class _Walk:
    """One pass through an encoded data set (PS3.5 7.1, 7.5)."""

    def __init__(self, data: bytes, little: bool) -> None:
        order = "<" if little else ">"
        self._data = data
        self._tag = struct.Struct(order + "HHL")
        self._short = struct.Struct(order + "H")
        self._long = struct.Struct(order + "L")
        self._elements_left, self._items_left = MAXIMUM_ELEMENTS, MAXIMUM_ITEMS

    def whole(self, explicit: bool) -> _Found:
        """What is wanted of all; some write implicit VR under an explicit syntax, as the first element shows."""
        vr = self._data[4:6]
        return self._data_set(0, len(self._data), 0, explicit and vr.isalpha() and vr.isupper())[0]

    def _data_set(self, at: int, end: int, depth: int, explicit: bool) -> tuple[_Found, int]:
        """What is wanted of the elements from `at` to `end`, or to the delimiter of their item; and where they end."""
        found: _Found = {}
        while at < end:
            tag, vr, start, length = self._head(at, explicit)
            if tag == _ITEM_END:
                return found, start
            self._elements_left -= 1
            if self._elements_left < 0:
                raise NotTaken(RESOURCE_LIMITATION, f"has more than {MAXIMUM_ELEMENTS} elements")
            if length == _UNDEFINED or vr == b"SQ" or tag in _SEQUENCES:
                stop = end if length == _UNDEFINED else start + length
                named = explicit and vr != b"UN"  # such a UN holds implicit VR (PS3.5 6.2.2, note)
                items, at = self._sequence(start, min(stop, end), depth + 1, named)
                if tag in _SEQUENCES:
                    found[tag] = items
            else:
                at = start + length
                if tag in _VALUES:
                    found[tag] = self._data[start:at]
            if at > end:
                raise NotTaken(INVALID_ARGUMENT, "is cut short")
        return found, at

    def _sequence(self, at: int, end: int, depth: int, explicit: bool) -> tuple[list[_Found], int]:
        if depth > MAXIMUM_DEPTH:
            raise NotTaken(RESOURCE_LIMITATION, f"has sequences nested deeper than {MAXIMUM_DEPTH}")
        items: list[_Found] = []
        while at < end:
            tag, _, start, length = self._head(at, explicit)
            if tag == _SEQUENCE_END:
                return items, start
            if tag != _ITEM:
                raise NotTaken(INVALID_ARGUMENT, "has something else in a sequence than items")
            self._items_left -= 1
            if self._items_left < 0:
                raise NotTaken(RESOURCE_LIMITATION, f"has more than {MAXIMUM_ITEMS} items")
            stop = end if length == _UNDEFINED else start + length
            if stop > end:
                raise NotTaken(INVALID_ARGUMENT, "is cut short")
            item, at = self._data_set(start, stop, depth, explicit)
            items.append(item)
        return items, at

    def _head(self, at: int, explicit: bool) -> tuple[int, bytes, int, int]:
        """Tag, value representation (empty where it is implicit), start and length of the element at a place."""
        group, element, length = self._tag.unpack_from(self._data, at)
        tag = group << 16 | element
        if not explicit or group == 0xFFFE:
            return tag, b"", at + 8, length
        vr = self._data[at + 4 : at + 6]
        if vr in _LONG:
            return tag, vr, at + 12, self._long.unpack_from(self._data, at + 8)[0]
        return tag, vr, at + 8, self._short.unpack_from(self._data, at + 6)[0]


def data_set(transaction_uid: str, kept: Iterable[Reference], failed: Iterable[Failure], syntax: str) -> Dataset:
    """The information of a report (PS3.4 J.3.3), its sequences encoded already: pydicom takes 10 s for 50,000 items.

    It is to be encoded in `syntax`.

    Parameters
    ----------
    kept
        SOP class and SOP instance UID of what is committed.
    failed
        As that, and the failure reason.
    syntax
        Transfer syntax UID of the presentation context that it is sent on.
    """
    uid = UID(syntax)
    order = "<" if uid.is_little_endian else ">"
    information = Dataset()
    information.TransactionUID = transaction_uid
    sequences: tuple[tuple[int, list[tuple[str, str, int | None]]], ...] = (
        (REFERENCED_SEQUENCE, [(*reference, None) for reference in kept]),
        (FAILED_SEQUENCE, [*failed]),
    )
    for tag, items in sequences:
        if items:
            value = b"".join(
                _encoded(sop_class, instance, reason, order, uid.is_implicit_VR)
                for sop_class, instance, reason in items
            )
            raw = RawDataElement(Tag(tag), "SQ", len(value), value, 0, uid.is_implicit_VR, uid.is_little_endian)
            information[tag] = raw
    # so that pydicom writes the sequences as they are, and makes no objects of their items
    information.set_original_encoding(uid.is_implicit_VR, uid.is_little_endian, default_encoding)
    return information


def _encoded(sop_class_uid: str, sop_instance_uid: str, reason: int | None, order: str, implicit: bool) -> bytes:
    def element(tag: int, vr: bytes, value: bytes) -> bytes:
        head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
        size = struct.pack(order + "L", len(value)) if implicit else vr + struct.pack(order + "H", len(value))
        return head + size + value

    value = b"".join(
        element(tag, b"UI", uid.encode("ascii") + b"\0" * (len(uid) % 2))
        for tag, uid in ((SOP_CLASS_UID, sop_class_uid), (SOP_INSTANCE_UID, sop_instance_uid))
    )
    if reason is not None:
        value += element(FAILURE_REASON, b"US", struct.pack(order + "H", reason))
    return struct.pack(order + "HHL", _ITEM >> 16, _ITEM & 0xFFFF, len(value)) + value
