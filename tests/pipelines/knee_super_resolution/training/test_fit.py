"""The fit: seeded, resumable, and better than none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training import fit as training
from pipelines.knee_super_resolution.training.corpus import Corpus
from pipelines.knee_super_resolution.training.description import validate
from pipelines.knee_super_resolution.training.fit import build, schedule, started, trainer
from pipelines.knee_super_resolution.training.plan import Plan
from pipelines.knee_super_resolution.training.volumes import ThinVolume
from pipelines.lab.checkpoint import OtherTraining
from pipelines.lab.training_log import Report

torch.set_num_threads(1)


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


def fit(
    plan: Plan, corpus: Corpus, output: Path, stop: int | None = None, handlers: list[Any] | None = None
) -> torch.nn.Module:
    """Train as the bundle's config does, and return the network."""
    network = started(build(plan), plan)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=1e-4, betas=(0.9, 0.99))
    trainer(plan, corpus, network, optimiser, schedule(optimiser, plan), output, handlers, stop).run()
    return network


def test_the_same_seed_gives_the_same_weights(corpus: Corpus, tmp_path: Path) -> None:
    first, second = (weights(fit(plan(3), corpus, tmp_path / name)) for name in "ab")
    assert np.array_equal(first, second)


class Cut(Exception):
    """In place of a power cut."""


def cut(step: int, _figures: Mapping[str, float]) -> None:
    if step == 3:
        raise Cut


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    whole = weights(fit(plan(4), corpus, tmp_path / "whole"))
    with pytest.raises(Cut):
        fit(plan(4), corpus, tmp_path / "parts", handlers=[Report(cut)])  # the third step is lost
    assert (tmp_path / "parts" / "checkpoint.pt").exists()
    assert np.array_equal(whole, weights(fit(plan(4), corpus, tmp_path / "parts")))


def test_a_run_that_was_to_end_early_can_be_taken_up_to_its_end(corpus: Corpus, tmp_path: Path) -> None:
    fit(plan(4), corpus, tmp_path / "parts", stop=3)
    whole, parts = (weights(fit(plan(4), corpus, tmp_path / name)) for name in ("whole", "parts"))
    assert np.array_equal(whole, parts)


def test_a_checkpoint_of_another_plan_is_not_taken_up(corpus: Corpus, tmp_path: Path) -> None:
    fit(plan(2), corpus, tmp_path)
    with pytest.raises(OtherTraining, match="other settings"):
        fit(plan(5), corpus, tmp_path)


def louder(volume: ThinVolume) -> ThinVolume:
    return replace(volume, array=volume.array * np.float32(1.01))


def test_a_checkpoint_of_a_run_on_other_data_is_not_taken_up(corpus: Corpus, tmp_path: Path) -> None:
    fit(plan(2), corpus, tmp_path, stop=1)
    with pytest.raises(OtherTraining, match="other data"):
        fit(plan(2), replace(corpus, simulated=[louder(each) for each in corpus.simulated]), tmp_path)
    with pytest.raises(OtherTraining, match="other data"):
        fit(plan(2), replace(corpus, validation=[]), tmp_path)


def test_training_lowers_the_error(corpus: Corpus, tmp_path: Path) -> None:
    before = validate(build(plan(40)), corpus, plan(40), draws=4)
    after = validate(fit(plan(40), corpus, tmp_path), corpus, plan(40), draws=4)
    assert np.mean(list(after.values())) > np.mean(list(before.values()))


def test_training_begins_with_the_weights_that_are_named(tmp_path: Path) -> None:
    first = build(replace(plan(1), seed=5))
    save_file(dict(first.state_dict()), tmp_path / "first.safetensors")
    assert np.array_equal(weights(started(build(plan(1)), plan(1), tmp_path / "first.safetensors")), weights(first))


@pytest.mark.parametrize(("steps", "warm_up"), [(1000, 100), (20, 10)])
def test_the_learning_rate_warms_up_and_comes_down_to_a_hundredth(steps: int, warm_up: int) -> None:
    optimiser = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=plan(steps).rate)
    course = schedule(optimiser, plan(steps))
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        course.step()
    assert int(np.argmax(rates)) in (warm_up - 1, warm_up)
    assert max(rates) == pytest.approx(plan(steps).rate)
    assert rates[0] == pytest.approx(plan(steps).rate / warm_up)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(plan(steps).rate / 100, rel=0.01)
