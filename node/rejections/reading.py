"""A stored Key Object Selection Document -> what it rejects; a reader process runs it."""

from __future__ import annotations

from pathlib import Path

from dicom_sr.errors import UNREADABLE
from dicom_sr.read.rejection_note import KEYWORDS, RejectionNote, read_rejection_note
from node.errors import ReadingFailed, UnreadableHeader
from node.study.headers import read_header

MOST_OBJECTS = 100_000  # of one note: no study has as many


def note_in(path: Path) -> RejectionNote | None:
    """What a stored document rejects; None where it is no rejection note.

    Raises
    ------
    UnreadableHeader
        If it holds no DICOM, or what nobody can read.
    ReadingFailed
        If it has more than any real note.
    StorageAway
        If it cannot be read now.
    """
    header = read_header(path, KEYWORDS)
    try:
        note = read_rejection_note(header)
    except UNREADABLE as error:
        raise UnreadableHeader(type(error).__name__) from error
    if note is not None and len(note.objects) + note.elsewhere > MOST_OBJECTS:
        raise ReadingFailed(f"it refers to more than {MOST_OBJECTS:,} objects")
    return note
