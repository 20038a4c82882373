"""The ablation as a program, small enough for a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.hand_foot_scoring.evaluation import evaluate
from pipelines.hand_foot_scoring.evaluation.comparisons import Runs
from pipelines.hand_foot_scoring.training import damage_heads

OPTIONS = ["--ablation", "--patients", "1", "--train-patients", "3", "--epochs", "1", "--threads", "1"]


def test_the_ablation_compares_every_loss_on_the_same_crops_and_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "ablation.json"
    trained: list[tuple[str, int]] = []
    train_damage = damage_heads.train_damage

    def counted(crops, loss, seed, epochs, **rest):  # type: ignore[no-untyped-def]
        if len(trained) == 2 and not (tmp_path / "interrupted").exists():
            (tmp_path / "interrupted").touch()
            raise KeyboardInterrupt
        trained.append((loss, seed))
        return train_damage(crops, loss, seed, epochs, **rest)

    monkeypatch.setattr(damage_heads, "train_damage", counted)
    with pytest.raises(KeyboardInterrupt):
        evaluate.main([*OPTIONS, "--seeds", "1", "--json", str(out)])
    assert evaluate.main([*OPTIONS, "--seeds", "1", "--json", str(out)]) == 0
    assert len(trained) == len(set(trained)) == 5
    figures = json.loads(out.read_text())
    assert set(figures["losses"]) == {"all zero", "cross_entropy", "mse", "gaussian", "coral", "local_smoothing"}
    assert len(figures["losses"]["coral"]["narrowing"]["all"]["kappa"]) == 2


def test_runs_of_another_comparison_are_forgotten(tmp_path: Path) -> None:
    Runs(tmp_path / "runs", "first").add("coral 0", {"agreement": {}})
    assert Runs(tmp_path / "runs", "first").done == {"coral 0": {"agreement": {}}}
    assert Runs(tmp_path / "runs", "second").done == {}
