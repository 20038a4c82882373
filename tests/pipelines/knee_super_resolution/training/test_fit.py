"""The fit: seeded, resumable, and better than none."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training import fit as training
from pipelines.knee_super_resolution.training.corpus import Corpus
from pipelines.knee_super_resolution.training.description import validate
from pipelines.knee_super_resolution.training.fit import build, fit, rate_at
from pipelines.knee_super_resolution.training.plan import Plan
from pipelines.knee_super_resolution.training.volumes import ThinVolume
from pipelines.lab.checkpoint import OtherTraining

torch.set_num_threads(1)
QUIET = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    def volume(seed: int) -> ThinVolume:
        return ThinVolume(
            f"clutter {seed}", f"clutter {seed}", simulate_clutter(seed, (44, 44, 44), 120), (1.0, 1.0, 1.0)
        )

    return Corpus(simulated=[volume(1), volume(2)], validation=[volume(3)])


def plan(steps: int) -> Plan:
    return Plan(seed=3, steps=steps, depth=40, size=24, channels=8, blocks=1, batch=1, threads=1)


def weights(network: torch.nn.Module) -> np.ndarray:
    return torch.cat([each.detach().flatten() for each in network.state_dict().values()]).numpy()


def test_the_same_seed_gives_the_same_weights(corpus: Corpus, tmp_path: Path) -> None:
    first, second = (weights(fit(plan(3), corpus, tmp_path / name, QUIET)) for name in "ab")
    assert np.array_equal(first, second)


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    whole = weights(fit(plan(4), corpus, tmp_path / "whole", QUIET))
    fit(plan(4), corpus, tmp_path / "parts", QUIET, stop=3)  # the third step is lost, as by a crash
    assert (tmp_path / "parts" / "checkpoint.pt").exists()
    assert np.array_equal(whole, weights(fit(plan(4), corpus, tmp_path / "parts", QUIET)))


def test_a_checkpoint_of_another_plan_is_not_taken_up(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    fit(plan(2), corpus, tmp_path, QUIET)
    with pytest.raises(OtherTraining, match="other settings"):
        fit(plan(5), corpus, tmp_path, QUIET)


@pytest.mark.parametrize("changes", [{"knee_side": 48}, {"simulated": []}])
def test_a_checkpoint_of_a_run_on_other_data_is_not_taken_up(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    fit(plan(2), corpus, tmp_path, QUIET, stop=1)
    with pytest.raises(OtherTraining, match="other settings"):
        fit(plan(2), replace(corpus, **changes), tmp_path, QUIET)


def test_training_lowers_the_error(corpus: Corpus, tmp_path: Path) -> None:
    before = validate(build(plan(40)), corpus, plan(40), draws=4)
    after = validate(fit(plan(40), corpus, tmp_path, QUIET), corpus, plan(40), draws=4)
    assert np.mean(list(after.values())) > np.mean(list(before.values()))
    with (tmp_path / "log.csv").open() as log:
        assert list(csv.reader(log)) == []  # rows come every 50 steps


def test_the_learning_rate_warms_up_and_comes_down_to_a_hundredth() -> None:
    chosen = plan(1000)
    rates = [rate_at(step, chosen) for step in range(1000)]
    assert max(rates) == pytest.approx(chosen.rate, rel=0.03)
    assert rates[0] == pytest.approx(chosen.rate / 100)
    assert rates[-1] == pytest.approx(chosen.rate / 100, rel=0.01)
