"""The fit of one network."""

from __future__ import annotations

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
