"""The network: shapes, the two ways in give one answer, hazards become risks as the integral says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from pipelines.knee_oa_risk.matrix import STATIC_NAMES, Batch
from pipelines.knee_oa_risk.model import cells
from pipelines.knee_oa_risk.network import CAUSES, RiskNetwork, cumulative_incidence
from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.window import YEARS


@pytest.fixture(scope="module")
def batch() -> Batch:
    return from_population(simulate(64, 9))


def shaken(network: RiskNetwork) -> RiskNetwork:
    """Weights away from their beginnings, where the head is zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.1)
    return network.eval()


def test_cells_and_dense_matrix_give_the_same_hazards(batch: Any) -> None:
    network = shaken(RiskNetwork(batch.rows, len(STATIC_NAMES)))
    persons, static = np.arange(64), torch.from_numpy(batch.static)
    with torch.no_grad():
        dense = network(torch.from_numpy(batch.dense()), static)
        sparse = network(cells(batch, persons), static)
    assert dense.shape == (64, YEARS, CAUSES)
    assert dense.std() > 0.01
    assert torch.allclose(dense, sparse, atol=1e-5)


def test_an_ablation_does_not_see_what_it_lacks(batch: Any) -> None:
    static = torch.from_numpy(batch.static)
    matrix = torch.from_numpy(batch.dense())
    blind = shaken(RiskNetwork(batch.rows, len(STATIC_NAMES), record=False))
    bare = shaken(RiskNetwork(batch.rows, len(STATIC_NAMES), static=False))
    with torch.no_grad():
        assert torch.equal(blind(matrix, static), blind(torch.zeros_like(matrix), static))
        assert torch.equal(bare(matrix, static), bare(matrix, torch.zeros_like(static)))
        assert not torch.allclose(bare(matrix, static), bare(torch.zeros_like(matrix), static))


def test_risk_is_the_integral_of_the_hazard_over_those_still_there() -> None:
    rates = np.array([[0.05, 0.02], [0.08, 0.03], [0.02, 0.2], [0.4, 0.05], [0.1, 0.1]])  # per year: disease, death

    def density(t: float) -> float:
        year = min(int(t), 4)
        gone = rates[:year].sum() + rates[year].sum() * (t - year)
        return float(rates[year, 0] * np.exp(-gone))

    risk = cumulative_incidence(torch.from_numpy(np.log(rates))[None])[0]
    for year in range(5):
        expected = quad(density, 0, year + 1, points=list(range(1, year + 1)) or None)[0]
        assert float(risk[year]) == pytest.approx(expected, abs=1e-6)
