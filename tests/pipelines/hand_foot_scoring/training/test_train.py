"""The command of the training: what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.hand_foot_scoring import BUNDLE
from pipelines.hand_foot_scoring.training import train
from pipelines.lab.checkpoint import Checkpoint


def test_a_folder_with_the_state_of_another_training_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Checkpoint(tmp_path / "localiser.training", "localiser, seed 7, 500 steps")
    kept.save(50)
    assert train.main(["--output", str(tmp_path), "--only", "localiser", "--steps", "2"]) == 1
    assert "localiser.training" in capsys.readouterr().out.replace("\n", "")
    assert kept.resume() == 50


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--data", "X"], 2, "--data and --layout must be given together"),
        (["--sets", "0.5", "0.1", "0.1"], 2, "--sets must add up to 1, not 0.7"),
        (["--data", "X", "--layout", "own"], 1, "films.csv: there is no such table"),
        (["--films", "X", "--only", "localiser"], 1, "holds none of the licensed radiographs"),
        (["--device", "cuda:9"], 2, "cuda:9: is not on this machine"),
    ],
)
def test_options_and_data_that_do_not_fit_are_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "X").mkdir()
    assert train.main([*options, "--output", "out"]) == code
    assert said in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize(
    "options",
    [
        [],  # nowhere to write to
        ["--output", str(BUNDLE)],  # what ships with the package
        ["--output", str(BUNDLE / "new")],
        ["--output", "out", "--data", "nowhere", "--layout", "own"],
        ["--output", "out", "--start", "nowhere"],
        ["--output", "out", "--films", "nowhere"],
        ["--output", "out", "--real-share", "1.5"],
        ["--output", "out", "--device", "gpu"],
    ],
)
def test_a_command_line_that_is_wrong_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        train.main(options)
    assert ended.value.code == 2
    assert not list(tmp_path.iterdir())
    assert not (BUNDLE / "new").exists()
