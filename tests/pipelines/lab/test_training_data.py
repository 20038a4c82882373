import shutil
from pathlib import Path

import pytest

from pipelines.lab.training_data import digest_of


def _folder(path: Path) -> Path:
    (path / "scans").mkdir(parents=True)
    (path / "labels.csv").write_text("file,label\n")
    (path / "scans" / "1.png").write_bytes(b"one")
    (path / "scans" / "2.png").write_bytes(b"two")
    return path


def test_the_same_files_elsewhere_have_the_same_digest(tmp_path: Path) -> None:
    one = _folder(tmp_path / "a")
    shutil.copytree(one, tmp_path / "b")
    assert digest_of(one) == digest_of(tmp_path / "b")


@pytest.mark.parametrize("change", ["content", "name", "more", "fewer"])
def test_other_files_have_another_digest(tmp_path: Path, change: str) -> None:
    folder = _folder(tmp_path / "a")
    before = digest_of(folder)
    file = folder / "scans" / "1.png"
    if change == "content":
        file.write_bytes(b"One")
    elif change == "name":
        file.rename(folder / "scans" / "3.png")
    elif change == "more":
        (folder / "scans" / "3.png").write_bytes(b"")
    else:
        file.unlink()
    assert digest_of(folder) != before


def test_only_the_files_that_are_trained_on_count(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "a")
    trained = [folder / "labels.csv", folder / "scans" / "2.png"]
    before = digest_of(folder, trained)
    (folder / "scans" / "1.png").write_bytes(b"other")
    assert digest_of(folder, reversed(trained)) == before
    assert digest_of(folder / "labels.csv") == digest_of(folder / "labels.csv", [folder / "labels.csv"])


def test_no_files_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no files"):
        digest_of(tmp_path)
