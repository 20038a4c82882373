"""`condyle import`: what was taken, what was not, and the exit code that says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.commands.exit_codes import NOT_RIGHT, OK
from node.commands.import_ import NAMED, import_
from tests.node.receive.harness import mr, part10


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(f"node: {{data: {tmp_path / 'data'}}}\n")
    return path


def test_the_exit_code_says_whether_all_was_taken(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    assert import_(folder, config) == NOT_RIGHT  # nothing there
    (folder / "a.dcm").write_bytes(part10(mr()))
    assert import_(folder, config) == OK
    capsys.readouterr()
    for number in range(NAMED + 2):
        (folder / f"viewer-{number:02}.dll").write_text("no DICOM")
    assert import_(folder, config) == NOT_RIGHT
    told = capsys.readouterr()
    assert "viewer-00.dll: is not DICOM" in told.err
    assert "... and 2 more that are not DICOM" in told.err
    assert f"1 stored, 0 refused, {NAMED + 2} not DICOM" in told.out


def test_a_directory_that_lists_no_file_is_a_remark(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "DICOMDIR").write_bytes(part10(mr()))
    assert import_(tmp_path / "in" / "DICOMDIR", config) == OK
    told = capsys.readouterr()
    assert "DICOMDIR: lists no file: all files beside it are taken" in told.err
    assert "1 stored, 0 refused, 0 not DICOM" in told.out


def test_a_file_meta_that_was_replaced_is_told(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ds = mr()
    ds.SOPInstanceUID = "1.2.3.4"
    (tmp_path / "a").write_bytes(part10(ds).replace(b"1.2.3.4", b"1.2.3.5", 1))
    assert import_(tmp_path / "a", config) == OK
    assert "1 with a file meta that named another instance or class: the data set's holds" in capsys.readouterr().out


def test_names_that_are_no_text_or_look_like_markup_are_told(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "M\udcfcller").write_text("no DICOM")
    (tmp_path / "in" / "[").write_bytes(part10(mr()))
    (tmp_path / "in" / "[b]").write_bytes(bytes(128) + b"DICM" + b"rubbish " * 50)
    assert import_(tmp_path / "in", config) == NOT_RIGHT
    told = capsys.readouterr()
    assert "M\ufffdller: is not DICOM" in told.err
    assert "[b]: " in told.err
    assert "1 stored, 1 refused, 1 not DICOM" in told.out
