"""What a peer says beside a status (ErrorComment, PS3.7 C.4.2): kept and shown as far as it fits and names nobody."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info

from dicom_sr.errors import UNREADABLE
from dicom_sr.words import escaped

LONGEST = 64  # characters of an LO (PS3.5 6.2)
NOT_KEPT = "(its comment may name the patient, and is not kept)"
IDENTIFYING = ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber")
CERTAIN, CERTAIN_NUMBER = 5, 3  # characters by which a value is found within a word too; a number's


def fit_to_keep(comment: str, path: Path) -> str:
    """The beginning of a peer's comment on an object; `NOT_KEPT` where it holds what tells whose the object is.

    Parameters
    ----------
    comment
        As pydicom reads it, by the default character set.
    path
        The object's file; where its header cannot be read, no comment on it is kept.
    """
    text, is_certain = _decoded(comment)
    if not text:
        return ""
    try:
        if read_file_meta_info(path).TransferSyntaxUID.is_deflated:  # of which a little may be a lot
            return NOT_KEPT
        header = dcmread(path, stop_before_pixels=True, specific_tags=[*IDENTIFYING, "SpecificCharacterSet"])
        identifying = set(_identifying(header)) - {""}
    except UNREADABLE:
        return NOT_KEPT
    if not is_certain and not all(map(_is_western, identifying)):  # it may hold the name in bytes that nobody can tell
        return NOT_KEPT
    words = {_plain(word) for word in re.split(r"[\W_]+", text)}
    if identifying & words or any(_is_certain(value) and value in _plain(text) for value in identifying):
        return NOT_KEPT
    return escaped(text)[:LONGEST]


def _decoded(comment: str) -> tuple[str, bool]:
    """What the peer meant, and whether that is certain: the standard lets it write ASCII, and most write UTF-8."""
    try:
        text = comment.encode("latin-1").decode()
    except UnicodeError:
        return " ".join(comment.split()), False
    return " ".join(text.split()), "\x1b" not in text  # which begins another character set (PS3.3 C.12.1.1.2)


def _is_western(value: str) -> bool:
    """Whether Latin-1 has all its characters."""
    return all(ord(sign) < 0x100 for sign in value)


def _identifying(header: Dataset) -> Iterator[str]:
    """The values by which somebody would know the patient, without case, accents and punctuation.

    Names are there word by word and whole, a birth date in several orders of its parts.
    """
    for group in str(header.get("PatientName", "")).split("="):
        names = [_plain(name) for name in re.split(r"[\W_]+", group)]
        yield from (name for name in names if len(name) > 1 or not name.isascii())
        yield "".join(names)
        yield "".join(reversed(names))
    for keyword in ("PatientID", "AccessionNumber"):
        yield _plain(str(header.get(keyword, "")))
    born = _plain(str(header.get("PatientBirthDate", "")))
    year, month, day = born[:4], born[4:6], born[6:]
    yield from (born, year, day + month + year, month + day + year)


def _is_certain(value: str) -> bool:
    """Whether it is no coincidence where a text holds the value."""
    least = CERTAIN_NUMBER if any(map(str.isdigit, value)) else CERTAIN if value.isascii() else 1
    return len(value) >= least


def _plain(text: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKD", text).casefold() if sign.isalnum())
