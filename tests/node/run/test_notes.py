from __future__ import annotations

from pathlib import Path

import pytest

from dicom_sr.profile import EncodedObject
from node.run import notes
from node.run.notes import CheckNote, ContextNote, Note, ObjectsNote, PriorNote, ResultNote, SeriesNote, StudyNote

DATA = Path("/data")
PICTURE = EncodedObject("1.2.840.1", "1.1", "1.2", "1.2.3", Path("/data/1.dcm"), "secondary_capture", 1, "aa", 10)
REPORT = EncodedObject("1.2.840.2", "1.4", "1.5", "1.2.3", Path("/data/2.dcm"), "report", 4, "bb", 20)
TWIN = EncodedObject("1.2.840.3", "1.6", "1.7", "1.2.3", Path("/data/3.dcm"), "report", 4, "cc", 30, "1.4")
OBJECTS = ObjectsNote(
    "key", (PICTURE, REPORT, TWIN), {"new": {"1.1": None, "1.4": None, "1.6": "1.4"}, "old": {"1.6": None}}
)


@pytest.mark.parametrize(
    "note",
    [
        StudyNote("1.2.3", (Path("/data/1.dcm"),), {"1.2": {"calling_ae_title": "MR1"}}),
        ContextNote("ab"),
        CheckNote("1.0"),
        PriorNote(True, "remark", "ab"),
        ResultNote("ab", "1.0", 0.5),
        OBJECTS,
        SeriesNote("key", (PICTURE,), {"new": {"1.1": None}}),
    ],
)
def test_a_note_is_read_as_it_was_written(note: Note) -> None:
    assert notes.unpacked(type(note), notes.packed(note, DATA), DATA) == note


def test_what_stands_in_under_one_profile_may_be_asked_for_under_another() -> None:
    assert OBJECTS.of_profile("new") == [PICTURE, REPORT]
    assert OBJECTS.of_profile("old") == [TWIN]
    assert OBJECTS.of_profile("unknown") == []
    assert OBJECTS.is_own(TWIN)


def test_a_file_that_is_no_such_note_is_none() -> None:
    assert notes.unpacked(CheckNote, b'{"version": ', DATA) is None
    assert notes.unpacked(StudyNote, b'{"version": "1.0"}', DATA) is None
