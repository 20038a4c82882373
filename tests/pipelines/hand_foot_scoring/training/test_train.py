"""Training and evaluation as programs, small enough for a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.hand_foot_scoring import weights
from pipelines.hand_foot_scoring.calibration import POOLINGS
from pipelines.hand_foot_scoring.evaluation import evaluate
from pipelines.hand_foot_scoring.heads import MAXIMUM
from pipelines.hand_foot_scoring.training import train
from pipelines.lab.checkpoint import Checkpoint


def test_a_folder_with_the_state_of_another_training_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Checkpoint(tmp_path / "localiser.training", "localiser, seed 7, 500 steps")
    kept.save(50)
    assert train.main(["--output", str(tmp_path), "--threads", "1", "--only", "localiser", "--steps", "2"]) == 2
    assert "localiser.training" in capsys.readouterr().out.replace("\n", "")
    assert kept.resume() == 50


def test_the_command_writes_a_bundle_that_loads(tmp_path: Path) -> None:
    common = ["--output", str(tmp_path), "--threads", "1"]
    assert train.main([*common, "--only", "shape", "--only", "localiser", "--skeletons", "60", "--steps", "2"]) == 0
    small = ["--patients", "3", "--epochs", "1", "--calibration-patients", "2"]
    assert train.main([*common, "--only", "damage", "--only", "calibration", *small]) == 0
    assert not list(tmp_path.glob("*.training"))  # a training that is over keeps no state
    loaded = weights.load(tmp_path)
    assert loaded.damage.loss == "local_smoothing"
    out = tmp_path / "figures.json"
    few = ["--patients", "2", "--hands", "1", "--threads", "1"]
    assert evaluate.main(["--bundle", str(tmp_path), *few, "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert set(figures["calibration_error"]) == set(MAXIMUM)
    assert 0 <= figures["interval_coverage"] <= 1
    assert figures["surrogate"]["erosion_rmse"] > 0
    assert set(figures["pooling"]) == set(POOLINGS)
    assert set(figures["open_plates"]) == {"5 to 9", "9 to 13", "13 to 15", "15 to 16.5", "grown"}
