"""Data sets in explicit VR little endian (PS3.5 7.1.2): the bytes that pydicom writes, several times as fast.

Elements of common kinds are encoded here. Any other one, such as a name or text beyond ASCII, is left to pydicom.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element, write_dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

UTF_8 = tuple(convert_encodings("ISO_IR 192"))
_UNDEFINED = 0xFFFFFFFF
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_NUMBERS = {"FD": "d", "FL": "f", "SL": "l", "SS": "h", "UL": "L", "US": "H"}
_LONGEST_SHORT = 0xFFFF  # bytes of a value whose length has two

Encodings = Sequence[str]  # Python's names, as pydicom's `convert_encodings` gives them
Element = DataElement | RawDataElement


class _LeftToPydicom(Exception):
    """A value that only pydicom encodes."""


def encoded(ds: Dataset, parents: Encodings = UTF_8) -> bytes:
    """The elements of `ds`, in the order of their tags.

    Parameters
    ----------
    ds
        A data set. One that holds elements whose VR is ambiguous gets them put right, as pydicom does.
    parents
        How texts are encoded if `ds` names no character set.
    """
    return _elements(ds, parents, ds)


def encoded_item(ds: Dataset, parents: Encodings = UTF_8) -> bytes:
    """`ds` as an item of a sequence."""
    return _item(ds, parents, ds)


class SharedElements:
    """What data sets have in common, encoded once.

    Parameters
    ----------
    ds
        A data set with a character set, all of whose values have been read. It must not change afterwards.
    """

    def __init__(self, ds: Dataset) -> None:
        self.ds = ds
        self._encodings = _encodings(ds, UTF_8)
        self._parts = self._encoded(ds)

    def encoded_with(self, own: Dataset) -> bytes:
        """All elements of a data set: the shared ones, and those of `own`, which has none of theirs.

        What is encoded already may be a raw element of `own` (`encoded_sequence`).
        """
        return b"".join(part for _, part in sorted(self._parts + self._encoded(own)))

    def _encoded(self, ds: Dataset) -> list[tuple[int, bytes]]:
        """Each element after its tag."""
        found = []
        for element in ds.values():
            tag = _tag(element)
            if isinstance(element, RawDataElement):
                found.append((tag, _by_pydicom(element, self._encodings)))
            elif not _is_group_length(tag):
                found.append((tag, _element(element, self._encodings, ds)))
        return found


def encoded_sequence(keyword: str, items: Sequence[bytes]) -> RawDataElement:
    """A sequence of encoded items as an element of a data set that is given to `SharedElements`."""
    content = b"".join(items)
    return RawDataElement(Tag(keyword), "SQ", len(content), content, 0, False, True)


def _encodings(ds: Dataset, parents: Encodings) -> Encodings:
    if "SpecificCharacterSet" not in ds:
        return parents
    return tuple(convert_encodings(ds.SpecificCharacterSet or [default_encoding]))


def _is_group_length(tag: int) -> bool:
    """Whether an element is one that is not written any more (PS3.5 7.2)."""
    return tag & 0xFFFF == 0 and tag >> 16 > 6


def _tag(element: Element) -> int:
    return int(element.tag)


def _elements(ds: Dataset, parents: Encodings, root: Dataset) -> bytes:
    encodings, parts = _encodings(ds, parents), []
    for element in sorted(ds.values(), key=_tag):
        if isinstance(element, RawDataElement):  # of a file, and not looked at since
            return _as_it_was_read(ds, parents, root)
        if not _is_group_length(_tag(element)):
            parts.append(_element(element, encodings, root))
    return b"".join(parts)


def _as_it_was_read(ds: Dataset, parents: Encodings, root: Dataset) -> bytes:
    """The elements of a data set as pydicom writes them, which keeps values of a file that nobody has looked at."""
    correct_ambiguous_vr(root, True)
    buffer = _buffer()
    write_dataset(buffer, ds, list(parents))
    return bytes(buffer.getvalue())


def _item(ds: Dataset, parents: Encodings, root: Dataset) -> bytes:
    content = _elements(ds, parents, root)
    if getattr(ds, "is_undefined_length_sequence_item", False):
        return b"".join((_ITEM, struct.pack("<L", _UNDEFINED), content, _END_OF_ITEM))
    return b"".join((_ITEM, struct.pack("<L", len(content)), content))


def _element(element: DataElement, encodings: Encodings, root: Dataset) -> bytes:
    vr = element.VR
    if vr is not None and len(vr) > 2:  # ambiguous
        correct_ambiguous_vr(root, True)
        vr = element.VR
    if vr == "SQ":
        return _sequence(element, encodings, root)
    encode = _ENCODERS.get(vr)
    if encode is None or element.is_undefined_length:
        return _by_pydicom(element, encodings)
    try:
        value = encode(element.value, vr, encodings)
    except _LeftToPydicom:
        return _by_pydicom(element, encodings)
    tag = int(element.tag)
    if vr in EXPLICIT_VR_LENGTH_32:
        return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, len(value)) + value
    if len(value) > _LONGEST_SHORT:
        return _by_pydicom(element, encodings)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def _sequence(element: DataElement, encodings: Encodings, root: Dataset) -> bytes:
    tag = int(element.tag)
    content = b"".join([_item(item, encodings, root) for item in list(element.value or ())])
    undefined = element.is_undefined_length
    length = _UNDEFINED if undefined else len(content)
    head = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"SQ", 0, length)
    return b"".join((head, content, _END_OF_SEQUENCE if undefined else b""))


def _by_pydicom(element: Element, encodings: Encodings) -> bytes:
    buffer = _buffer()
    write_data_element(buffer, element, list(encodings))
    return bytes(buffer.getvalue())


def _buffer() -> DicomBytesIO:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    return buffer


# ---- values; `_LeftToPydicom` where a value is none of the usual ones
def _several(value: Any) -> bool:
    return isinstance(value, MultiValue | list | tuple)


def _string(value: Any, vr: str, encodings: Encodings) -> bytes:
    """Of the default repertoire: whatever the character set is, one byte a character."""
    text = "\\".join(value) if _several(value) else value
    if not isinstance(text, str):
        raise _LeftToPydicom
    try:
        content = text.encode("ascii")
    except UnicodeEncodeError:
        raise _LeftToPydicom from None
    return content if len(content) % 2 == 0 else content + (b"\0" if vr == "UI" else b" ")


def _date(value: Any, vr: str, encodings: Encodings) -> bytes:
    if not isinstance(value, str):
        raise _LeftToPydicom
    return _string(value, vr, encodings)


@cache
def _keeps_ascii(codec: str) -> bool:
    """Whether Python's codec writes ASCII as it is, without other sets and their escapes."""
    return codecs.lookup(codec).name in ("ascii", "iso8859-1", "utf-8")


def _text(value: Any, vr: str, encodings: Encodings) -> bytes:
    if _several(value) and not all(isinstance(one, str) for one in value):
        raise _LeftToPydicom
    if not _keeps_ascii(encodings[0]):
        raise _LeftToPydicom
    return _string(value, vr, encodings)


def _number_string(value: Any, vr: str, encodings: Encodings) -> bytes:
    if value is None:
        raise _LeftToPydicom
    values = value if _several(value) else (value,)
    texts = [one.original_string if hasattr(one, "original_string") else str(one) for one in values]
    return _string(texts, vr, encodings)


def _number(value: Any, vr: str, encodings: Encodings) -> bytes:
    if _several(value) and vr != "SS":  # of signed ones, the first of a look-up table's descriptor is none
        values = list(value)
    elif isinstance(value, int | float):
        values = [value]
    else:
        raise _LeftToPydicom
    try:
        return struct.pack(f"<{len(values)}{_NUMBERS[vr]}", *values)
    except struct.error:
        raise _LeftToPydicom from None


def _bytes(value: Any, vr: str, encodings: Encodings) -> bytes:
    if not isinstance(value, bytes):
        raise _LeftToPydicom
    return value if len(value) % 2 == 0 else value + b"\0"


_ENCODERS: dict[str, Callable[[Any, str, Encodings], bytes]] = {
    **dict.fromkeys(("AE", "AS", "CS", "UI", "UR"), _string),
    **dict.fromkeys(("DA", "DT", "TM"), _date),
    **dict.fromkeys(("LO", "LT", "SH", "ST", "UC", "UT"), _text),
    **dict.fromkeys(("DS", "IS"), _number_string),
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW"), _bytes),
}
