"""`condyle import`: what was taken, what was not, and the exit code that says which."""

from __future__ import annotations

import gzip
import subprocess
import sys
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
    assert f"1 stored, 0 refused, {NAMED + 2} not DICOM, 0 not read" in told.out


def test_a_directory_that_lists_no_file_is_a_remark(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "DICOMDIR").write_bytes(part10(mr()))
    assert import_(tmp_path / "in" / "DICOMDIR", config) == OK
    told = capsys.readouterr()
    assert "DICOMDIR: lists no file: all files beside it are taken" in told.err
    assert "1 stored, 0 refused, 0 not DICOM, 0 not read" in told.out


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
    assert r"M\xfcller: is not DICOM" in told.err
    assert "[b]: " in told.err
    assert "1 stored, 1 refused, 1 not DICOM, 0 not read" in told.out


def test_what_is_not_read_is_named_and_counted(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(part10(mr()))
    (folder / "link").symlink_to(folder / "a.dcm")
    (folder / "cut.gz").write_bytes(gzip.compress(b"x" * 500)[:-12])
    (folder / "cut.dcm").write_bytes(bytes(128) + b"DICM" + b"rubbish " * 50)
    assert import_(folder, config) == NOT_RIGHT
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "cut.dcm: No data set follows the file meta information",
        "cut.gz/cut: is damaged, or ends too early",
        "link: is a link, and links are not followed",
    ]
    assert told.out == "1 stored, 1 refused, 0 not DICOM, 2 not read\n"
    assert import_(tmp_path / "data", config) == NOT_RIGHT
    told = capsys.readouterr()
    assert told.err == "data: is in node.data, the node's own folder, of which nothing is imported\n"
    assert told.out == "0 stored, 0 refused, 0 not DICOM, 1 not read\n"


def test_a_command_says_each_file_once(config: Path, tmp_path: Path) -> None:
    ds = mr()
    del ds.StudyInstanceUID
    (tmp_path / "a.dcm").write_bytes(part10(ds))
    command = [sys.executable, "-m", "node", "import", str(tmp_path / "a.dcm"), "--config", str(config)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.stderr == "a.dcm: Study Instance UID is missing or not a UID\n"
    assert told.stdout == "0 stored, 1 refused, 0 not DICOM, 0 not read\n"
