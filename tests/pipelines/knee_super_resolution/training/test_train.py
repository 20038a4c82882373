"""Training from simulated volumes alone: seeded, resumable, and better than not training."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training import train
from pipelines.knee_super_resolution.training.train import Corpus, Plan, fit
from pipelines.knee_super_resolution.training.volumes import Degradation, ThinVolume
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
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 2)
    whole = weights(fit(plan(4), corpus, tmp_path / "whole", QUIET))
    fit(plan(4), corpus, tmp_path / "parts", QUIET, stop=3)  # the third step is lost, as by a crash
    assert (tmp_path / "parts" / "checkpoint.pt").exists()
    assert np.array_equal(whole, weights(fit(plan(4), corpus, tmp_path / "parts", QUIET)))


def test_a_checkpoint_of_another_plan_is_not_taken_up(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 1)
    fit(plan(2), corpus, tmp_path, QUIET)
    with pytest.raises(OtherTraining, match="other settings"):
        fit(plan(5), corpus, tmp_path, QUIET)


def test_training_lowers_the_error(corpus: Corpus, tmp_path: Path) -> None:
    before = train.validate(train.build(plan(40)), corpus, plan(40), draws=4)
    after = train.validate(fit(plan(40), corpus, tmp_path, QUIET), corpus, plan(40), draws=4)
    assert np.mean(list(after.values())) > np.mean(list(before.values()))
    with (tmp_path / "log.csv").open() as log:
        assert list(csv.reader(log)) == []  # rows come every 50 steps


def test_the_command_writes_weights_and_what_they_were_trained_on(tmp_path: Path) -> None:
    arguments = "--seed 1 --steps 2 --knees 1 --clutter 1 --depth 40 --size 24 --channels 8 --blocks 1 --device cpu"
    assert train.main([*arguments.split(), "--output", str(tmp_path)]) == 0
    described = json.loads((tmp_path / "model.json").read_text())
    assert "1 simulated knees" in described["trained_on"]
    assert "not for clinical use" in described["trained_on"]
    assert set(described["calibration"]) == {"2", "3", "4", "8"}
    assert load_file(tmp_path / "model.safetensors")


def test_degradations_cover_every_ratio_and_profile() -> None:
    drawn = [Degradation.draw(np.random.default_rng(seed)) for seed in range(300)]
    ratios = [each.ratio for each in drawn]
    assert 1.5 <= min(ratios) < 1.7
    assert 7.5 < max(ratios) <= 8.0
    assert {each.profile.kind for each in drawn} == {"fir", "gaussian", "boxcar"}
    assert any(each.noise > 0 for each in drawn)
