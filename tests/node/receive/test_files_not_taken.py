"""Which files of a watched folder were not taken is known over restarts, in a file of the node's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.receive.files_not_taken import NAMED, FilesNotTaken, files_not_taken

NOT_DICOM = "is not DICOM"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "receipts").mkdir(parents=True)
    return tmp_path / "data"


def test_a_file_is_told_with_its_reasons_until_it_is_gone(data: Path, tmp_path: Path) -> None:
    watched = tmp_path / "in"
    letter, packed = watched / "letter.txt", watched / "sub" / "disc.zip"
    first = FilesNotTaken(data / "receipts", watched)
    first.add(letter, [("letter.txt", NOT_DICOM)], at=10.0)
    first.add(packed, [(f"disc.zip/{number}", NOT_DICOM) for number in range(NAMED + 3)], at=20.0)
    assert first.settle({str(letter), str(packed)}) == (2, [NOT_DICOM])
    again = FilesNotTaken(data / "receipts", watched)  # after a restart
    again.add(letter, [("letter.txt", NOT_DICOM)], at=30.0)
    assert again.settle({str(letter), str(packed)}) == (0, [])
    newest, oldest = files_not_taken(data, [watched])
    assert (newest.name, len(newest.members), newest.more) == ("sub/disc.zip", NAMED, 3)
    assert (oldest.name, oldest.reasons, oldest.members) == ("letter.txt", [NOT_DICOM], [])
    again.settle({str(letter)})
    assert [file.name for file in files_not_taken(data, [watched])] == ["letter.txt"]
    assert files_not_taken(data, [tmp_path / "another"]) == []


def test_a_packed_file_that_was_replaced_is_told_by_what_is_in_it_now(data: Path, tmp_path: Path) -> None:
    packed = tmp_path / "in" / "disc.zip"
    noted = FilesNotTaken(data / "receipts", tmp_path / "in")
    for name in ("disc.zip/letter", "disc.zip/letter", "disc.zip/viewer"):
        noted.add(packed, [(name, NOT_DICOM)], at=1.0)
    noted.settle({str(packed)})
    assert files_not_taken(data, [tmp_path / "in"])[0].members == ["disc.zip/viewer"]


def test_only_the_nodes_account_may_read_the_names(data: Path, tmp_path: Path) -> None:
    noted = FilesNotTaken(data / "receipts", tmp_path / "in")
    noted.add(tmp_path / "in" / "Muster.txt", [("Muster.txt", NOT_DICOM)], at=1.0)
    noted.settle({str(tmp_path / "in" / "Muster.txt")})
    (file,) = (data / "receipts").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    assert "Muster" not in file.name
