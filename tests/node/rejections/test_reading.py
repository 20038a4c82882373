from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_sr.rejection_reasons import RejectionReason
from node.errors import NodeError, ReadingFailed
from node.reading import Readers
from node.rejections import reading
from node.rejections.reading import note_in
from tests.rejection_notes import image, rejection_note

QUALITY = RejectionReason.QUALITY


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers(1) as readers:
        yield readers


def written(path: Path, ds: Dataset) -> Path:
    ds.save_as(path, enforce_file_format=True)
    return path


def test_a_note_of_thousands_of_images_is_read_by_a_reader(readers: Readers, tmp_path: Path) -> None:
    images = [image(number) for number in range(2_000)]
    path = written(tmp_path / "note.dcm", rejection_note(images, QUALITY))
    note = readers.call(note_in, path)
    assert note is not None
    assert note.objects == tuple(str(one.SOPInstanceUID) for one in images)


def test_a_note_of_more_images_than_any_study_has_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reading, "MOST_OBJECTS", 2)
    path = written(tmp_path / "note.dcm", rejection_note([image(number) for number in range(3)], QUALITY))
    with pytest.raises(ReadingFailed, match="more than 2 objects"):
        note_in(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of much that is damaged
def test_a_damaged_note_is_an_error_of_the_node_or_rejects_no_other_image(tmp_path: Path) -> None:
    whole = written(tmp_path / "note.dcm", rejection_note([image(1), image(2)], QUALITY)).read_bytes()
    damaged = tmp_path / "damaged.dcm"
    for cut in range(140, len(whole) - 1, 97):
        damaged.write_bytes(whole[:cut] + b"\xff\xfe\x00\xe0" + whole[cut + 4 :])
        try:
            note = note_in(damaged)
        except NodeError:
            continue
        assert note is None or set(note.objects) <= {"1.2.3.4.1", "1.2.3.4.2"}


def test_a_note_that_is_nested_deeper_than_any_is_an_error_of_the_node(readers: Readers, tmp_path: Path) -> None:
    inner = Dataset()
    for _ in range(2_000):
        outer = Dataset()
        outer.ContentSequence = [inner]
        inner = outer
    note = rejection_note([image(1)], QUALITY)
    path = tmp_path / "deep.dcm"
    try:
        note.ContentSequence = [inner]
        written(path, note)
    except RecursionError:
        item = b"\x40\x00\x30\xa7SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
        note.ContentSequence = []
        content = written(path, note).read_bytes()
        path.write_bytes(content.split(b"\x40\x00\x30\xa7")[0] + item * 20_000)
    try:
        found = readers.call(note_in, path)
    except NodeError:
        return
    assert found is None or not found.objects
