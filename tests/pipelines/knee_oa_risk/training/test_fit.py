"""The fit of one network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.knee_oa_risk.matrix import Batch
from pipelines.knee_oa_risk.network import negative_log_likelihood
from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.training.fit import fit, follow_up
from pipelines.knee_oa_risk.vocabulary import matrix_codes
from pipelines.knee_oa_risk.window import YEARS
from pipelines.lab.checkpoint import Checkpoint, OtherTraining


@pytest.fixture(scope="module")
def batch() -> Batch:
    return from_population(simulate(64, 9))


def test_the_likelihood_is_least_at_events_per_person_year() -> None:
    people = simulate(4000, 4)
    exposure, event = follow_up(people)
    assert float(event.sum()) == ((people.status > 0) & (people.time < YEARS)).sum()
    assert float(exposure.sum()) == pytest.approx(np.minimum(people.time, YEARS).sum(), rel=1e-5)
    best = (event.sum(dim=0) / exposure.sum(dim=0)[:, None]).log()  # (YEARS, CAUSES)
    least = negative_log_likelihood(best.expand(4000, -1, -1), exposure, event)
    for shift in (-0.1, 0.1):
        assert negative_log_likelihood((best + shift).expand(4000, -1, -1), exposure, event) > least


def test_a_code_that_training_never_saw_has_no_say(batch: Any) -> None:
    torch.manual_seed(0)
    people = simulate(1024, 3)
    network = fit(from_population(people), people, seed=1, epochs=1)
    unseen = sorted(set(range(len(matrix_codes()))) - set(from_population(people).row.tolist()))
    assert unseen
    matrix = torch.from_numpy(batch.dense())
    touched = matrix.clone()
    touched[:, unseen[0]] = 1.0
    static = torch.from_numpy(batch.static)
    with torch.no_grad():
        assert torch.equal(network(matrix, static), network(touched, static))


def test_training_is_the_same_for_the_same_seed() -> None:
    people = simulate(1100, 6)
    one, two = (fit(from_population(people), people, seed=5, epochs=1) for _ in range(2))
    for mine, theirs in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_an_interrupted_training_ends_with_the_weights_it_would_have_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = simulate(1100, 6)
    batch = from_population(people)
    whole = fit(batch, people, seed=5, epochs=8)
    save = Checkpoint.save

    def and_end(self: Checkpoint, done: int, **parts: Any) -> None:
        save(self, done, **parts)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", and_end)
        with pytest.raises(KeyboardInterrupt):
            fit(batch, people, seed=5, epochs=8, folder=tmp_path, data_digest="a")
    resumed = fit(batch, people, seed=5, epochs=8, folder=tmp_path, data_digest="a")
    for mine, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(OtherTraining, match="belongs to a training with other settings"):
        fit(batch, people, seed=5, epochs=8, folder=tmp_path, data_digest="b")
