"""The ablation as a program, small enough for a test."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.hand_foot_scoring.evaluation import evaluate


def test_the_ablation_compares_every_loss_on_the_same_crops(tmp_path: Path) -> None:
    out = tmp_path / "ablation.json"
    options = ["--ablation", "--patients", "1", "--train-patients", "3", "--epochs", "1", "--seeds", "1"]
    assert evaluate.main([*options, "--json", str(out), "--threads", "1"]) == 0
    figures = json.loads(out.read_text())
    assert set(figures["losses"]) == {"all zero", "cross_entropy", "mse", "gaussian", "coral", "local_smoothing"}
    assert len(figures["losses"]["coral"]["narrowing"]["all"]["kappa"]) == 2
