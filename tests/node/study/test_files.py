from __future__ import annotations

from pathlib import Path

import pytest

from node.study.files import files_in, is_problem, readable_studies
from tests.factories import knee_study


def test_files_that_are_no_dicom_are_left_out_with_the_reason(tmp_path: Path) -> None:
    study = knee_study(tmp_path)
    (tmp_path / "notes.txt").write_bytes(b"")
    left: dict[Path, str] = {}
    found = readable_studies(files_in([tmp_path], left.__setitem__), left.__setitem__)
    assert [one.study_instance_uid for one in found] == [study.study_instance_uid]
    assert left == {tmp_path / "notes.txt": "is no DICOM instance: it has no SOPInstanceUID"}


def test_a_file_that_is_gone_and_a_folder_of_ones_own_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a").touch()
    (tmp_path / "b").touch()
    left: dict[Path, str] = {}
    paths = [tmp_path, tmp_path / "none"]
    assert list(files_in(paths, left.__setitem__, tmp_path / "own")) == [tmp_path / "b"]
    assert "cannot be read: No such file" in left[tmp_path / "none"]
    assert set(left) == {tmp_path / "own", tmp_path / "none"}


@pytest.mark.parametrize(
    ("reason", "named", "expected"),
    [
        ("is no DICOM instance", False, False),
        ("is no DICOM instance", True, True),
        ("cannot be read: Permission denied", False, True),
    ],
)
def test_what_is_left_out_is_a_problem_where_it_was_named_or_cannot_be_read(
    reason: str, named: bool, expected: bool
) -> None:
    assert is_problem(Path("a"), reason, [Path("a")] if named else [Path(".")]) is expected
