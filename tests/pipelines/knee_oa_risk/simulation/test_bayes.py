"""The Bayes-optimal risk is what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.knee_oa_risk.simulation.bayes import bayes_risk
from pipelines.knee_oa_risk.simulation.population import Population, simulate
from pipelines.knee_oa_risk.training.measures import auroc, censoring_weights
from pipelines.knee_oa_risk.window import HORIZONS


@pytest.fixture(scope="module")
def people() -> Population:
    return simulate(12_000, seed=11)


def test_the_bayes_optimal_risk_is_calibrated_in_every_tenth_and_at_every_horizon(
    people: Population, risk: Any
) -> None:
    for number, horizon in enumerate(HORIZONS):
        weight, case = censoring_weights(people.time, people.status, horizon)
        edges = np.quantile(risk[:, number], np.linspace(0, 1, 11)[1:-1])
        place = np.searchsorted(edges, risk[:, number])
        for tenth in range(10):
            mine = place == tenth
            expected = np.average(risk[mine, number], weights=weight[mine])
            observed = np.average(case[mine], weights=weight[mine])
            # four standard errors of a proportion: one of 30 tenths would fail by chance once in 500 seeds
            error = np.sqrt(expected * (1 - expected) / (weight[mine] > 0).sum())
            assert abs(observed - expected) < 4 * error + 1e-3


def test_nothing_that_the_record_shows_beats_the_bayes_optimal_risk(people: Population, risk: Any) -> None:
    weight, case = censoring_weights(people.time, people.status, 5)
    best = auroc(risk[:, -1], case, weight)
    for score in (people.age, people.history_effect, people.visits_per_year, risk[:, 0] + 0.02 * people.female):
        assert auroc(np.asarray(score, float), case, weight) < best + 1e-3


@pytest.fixture(scope="module")
def risk(people: Population) -> NDArray[np.float64]:
    return bayes_risk(people)
