"""What the command says of options and data that do not go together or cannot be used, before it measures anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.hand_foot_scoring.evaluation import evaluate
from tests.pipelines.conftest import Refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file in it that is no picture."""
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--data", "none", "--layout", "films"], "--data: none: there is no such file or folder"),
        (["--data", ".", "--layout", "films", "--report", "file"], "file: is a file, should be a folder"),
        (["--data", ".", "--layout", "films", "--report", "file/x"], "file: is a file, should be a folder"),
        (["--data", ".", "--layout", "films", "--json", "none/x.json"], "none/x.json: there is no folder none"),
        (["--data", ".", "--layout", "films", "--json", "."], "--json: .: is a folder, should be a file"),
        (["--data", ".", "--layout", "films", "--report", "x", "--reports", "none"], "none: there is no such folder"),
        (["--marked", "--films", "none"], "--films: none: there is no such folder"),
        (["--bundle", "none"], "--bundle: none: there is no such folder"),
        (["--bins", "none"], "--bins: none: there is no such file"),
    ],
)
def test_files_and_folders_that_cannot_be_used_are_named(options: list[str], why: str, refused: Refused) -> None:
    assert why in refused(evaluate.main, options)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--data", ".", "--layout", "films", "--reports", "."], "--reports needs --layout films and --report"),
        (["--data", ".", "--layout", "own", "--report", "x", "--reports", "."], "--reports needs --layout films"),
        (["--report", "x"], "--report needs --data with graded films"),
        (["--data", ".", "--layout", "landmarks", "--report", "x"], "--report needs --data with graded films"),
        (["--data", ".", "--layout", "films", "--set", "test"], "--set needs --data with graded films"),
        (["--data", ".", "--layout", "films", "--films", "."], "--films is for --style, --marked and --ablation"),
        (["--films", "."], "--films is for --style, --marked and --ablation"),
        (["--style", "--marked", "--films", "."], "--style and --marked cannot be given together"),
        (["--data", ".", "--layout", "films", "--multi-task"], "--multi-task and --layout cannot be given together"),
        (["--data", "broken.jpg", "--layout", "films"], "--data: broken.jpg is a file, should be a folder"),
    ],
)
def test_no_option_is_left_out_in_silence(
    folder: Path, options: list[str], why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert evaluate.main(options) == 2
    assert why in capsys.readouterr().out
    assert not (folder / "x").exists()


def test_a_folder_of_which_no_file_can_be_read_is_no_success(
    networks: None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "1").write_bytes(bytes(128) + b"DICM")
    assert evaluate.main(["--data", str(folder), "--layout", "films", "--report", str(folder / "report")]) == 1
    out = capsys.readouterr().out
    assert "broken.jpg: is no picture that can be read" in out
    assert "2 of 2 files cannot be read" in out
    assert (folder / "report" / "report.html").exists()
