"""The gate: p-values that mean what they say, and foreign cases that keep an order."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.joint_classification.gate import Gate, entropy
from pipelines.joint_classification.training.gate import fit_gate


@pytest.fixture(scope="module")
def gate() -> tuple[Gate, NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(6, 6))
    return fit_gate(rng.normal(size=(800, 6)) @ mix, rng.normal(size=(400, 6)) @ mix, rng.normal(size=400)), mix


def test_a_share_p_of_known_cases_has_a_p_value_under_p(gate: Any) -> None:
    made, mix = gate
    rng = np.random.default_rng(1)
    p = made.p_value(rng.normal(size=(4000, 6)) @ mix, rng.normal(size=4000))
    for share in (0.03, 0.1, 0.5):
        assert (p < share).mean() == pytest.approx(share, abs=0.03 if share < 0.2 else 0.05)


def test_distance_is_mahalanobis_whatever_the_units(gate: Any) -> None:
    made, mix = gate
    points = np.random.default_rng(2).normal(size=(500, 6))
    # whitened by the true covariance, the distance is the root mean square of the coordinates that made the points
    np.testing.assert_allclose(made.distance(points @ mix), np.sqrt((points**2).mean(1)), rtol=0.25)
    scaled = fit_gate(np.random.default_rng(3).normal(size=(500, 2)) * [1, 1000], np.zeros((3, 2)), np.zeros(3))
    assert scaled.distance(np.array([[3.0, 0.0]]))[0] == pytest.approx(
        scaled.distance(np.array([[0.0, 3000.0]]))[0], rel=0.2
    )


def test_either_distance_or_strangeness_makes_foreign(gate: Any) -> None:
    made, mix = gate
    usual, far = np.zeros((1, 6)), np.full((1, 6), 9.0) @ mix
    assert made.p_value(usual, np.zeros(1))[0] > 0.3
    assert made.p_value(far, np.zeros(1))[0] == pytest.approx(1 / 401)
    assert made.p_value(usual, np.array([9.0]))[0] == pytest.approx(1 / 401)


def test_beyond_all_known_cases_the_farther_still_ranks_higher(gate: Any) -> None:
    made, mix = gate
    far, farther = (made.rank(np.full((1, 6), k) @ mix, np.zeros(1))[0] for k in (9.0, 18.0))
    assert len(made.far) - 1 < far < farther


def test_a_gate_comes_back_from_its_arrays(gate: Any) -> None:
    made, mix = gate
    features = np.random.default_rng(5).normal(size=(20, 6)) @ mix
    again = Gate.of(made.arrays())
    np.testing.assert_array_equal(again.p_value(features, np.zeros(20)), made.p_value(features, np.zeros(20)))


def test_entropy_is_nothing_for_certainty_and_one_for_ignorance() -> None:
    np.testing.assert_allclose(
        entropy(np.array([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]])), [0, 1, np.log(2) / np.log(3)], atol=1e-9
    )
