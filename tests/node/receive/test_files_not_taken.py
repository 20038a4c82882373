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
    (newest, oldest), count = files_not_taken(data, [watched])
    assert count == 2
    assert (newest.name, len(newest.members), newest.more) == ("sub/disc.zip", NAMED, 3)
    assert (oldest.name, oldest.reasons, oldest.members) == ("letter.txt", [NOT_DICOM], [])
    again.settle({str(letter)})
    assert [file.name for file in files_not_taken(data, [watched])[0]] == ["letter.txt"]
    assert files_not_taken(data, [tmp_path / "another"]) == ([], 0)


def test_a_packed_file_that_was_replaced_is_told_by_what_is_in_it_now(data: Path, tmp_path: Path) -> None:
    packed = tmp_path / "in" / "disc.zip"
    noted = FilesNotTaken(data / "receipts", tmp_path / "in")
    for name in ("disc.zip/letter", "disc.zip/letter", "disc.zip/viewer"):
        noted.add(packed, [(name, NOT_DICOM)], at=1.0)
    noted.settle({str(packed)})
    assert files_not_taken(data, [tmp_path / "in"])[0][0].members == ["disc.zip/viewer"]


def test_only_the_nodes_account_may_read_the_names(data: Path, tmp_path: Path) -> None:
    noted = FilesNotTaken(data / "receipts", tmp_path / "in")
    noted.add(tmp_path / "in" / "Muster.txt", [("Muster.txt", NOT_DICOM)], at=1.0)
    noted.settle({str(tmp_path / "in" / "Muster.txt")})
    for file in (data / "receipts").iterdir():
        assert file.stat().st_mode & 0o077 == 0
        assert "Muster" not in file.name
    assert len(list((data / "receipts").iterdir())) == 2


def test_of_very_many_files_the_latest_are_told_and_the_number_is_true(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.receive.files_not_taken.LATEST", 10)
    monkeypatch.setattr("node.receive.files_not_taken.MOST", 20)
    watched = tmp_path / "in"
    noted = FilesNotTaken(data / "receipts", watched)
    paths = [watched / f"{number}" for number in range(50)]
    for number, path in enumerate(paths):
        noted.add(path, [(path.name, NOT_DICOM)], at=float(number))
    assert noted.settle(set(map(str, paths))) == (50, [NOT_DICOM])
    files, count = files_not_taken(data, [watched])
    assert ([file.name for file in files], count) == ([path.name for path in paths[:39:-1]], 50)
    again = FilesNotTaken(data / "receipts", watched)  # after a restart: it knows all
    for path in paths:
        again.add(path, [(path.name, NOT_DICOM)], at=1e9)
    again.remove(paths[7])
    assert again.settle(set(map(str, paths[5:40]))) == (0, [])
    files, count = files_not_taken(data, [watched])
    assert ([file.name for file in files], count) == ([path.name for path in paths[39:29:-1]], 34)


def test_what_an_earlier_version_wrote_down_is_told_too(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "in" / "letter.txt"
    noted = FilesNotTaken(data / "receipts", tmp_path / "in")
    noted.add(path, [(path.name, NOT_DICOM)], at=1.0)
    noted.settle({str(path)})
    (latest,) = (data / "receipts").glob("latest-*")
    latest.unlink()
    FilesNotTaken(data / "receipts", tmp_path / "in").settle({str(path)})
    assert files_not_taken(data, [tmp_path / "in"])[1] == 1
