"""A temperature that was put in is found again, and intervals hold what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from pipelines.joint_classification.training.calibration import (
    fit_calibration,
    fit_temperature,
    positive_likelihood_ratio,
)
from pipelines.lab.measures import expected_calibration_error, likeliest


@pytest.fixture(scope="module")
def cases() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits that are three times too sure, and labels drawn from what they should have been."""
    rng = np.random.default_rng(0)
    right = rng.normal(size=(4000, 3)) * 1.5
    labels = np.array([rng.choice(3, p=p) for p in softmax(right, axis=1)])
    return 3 * right, labels


def test_an_overconfident_network_is_cooled_by_the_factor_it_was_heated_by(cases: Any) -> None:
    logits, labels = cases
    temperature, bias = fit_temperature(logits, labels)
    assert temperature == pytest.approx(3.0, rel=0.12)
    assert np.abs(bias).max() < 0.15
    assert bias.sum() == pytest.approx(0.0, abs=1e-9)
    before, after = (
        expected_calibration_error(*likeliest(softmax(x, axis=1), labels))
        for x in (logits, logits / temperature + bias)
    )
    assert after < 0.03 < before


def test_intervals_hold_the_mean_of_other_scans_in_nine_of_ten() -> None:
    rng = np.random.default_rng(1)

    def scans(joints: int) -> NDArray[np.float64]:
        return np.asarray(rng.normal(size=(joints, 1, 3))) * 2 + rng.normal(size=(joints, 4, 3)) * 0.6

    logits = rng.normal(size=(2000, 3)) * 2
    fitted = fit_calibration(logits, np.array([rng.choice(3, p=p) for p in softmax(logits, axis=1)]), scans(150))
    p = fitted.probabilities(scans(300).reshape(-1, 3)).reshape(300, 4, 3)
    intervals = fitted.intervals(p.reshape(-1, 3)).reshape(300, 4, 3, 2)
    others = (p.sum(1, keepdims=True) - p) / 3
    inside = (others >= intervals[..., 0]) & (others <= intervals[..., 1])
    assert 0.82 < inside.mean() < 0.99
    assert (intervals[..., 0] <= p).all()
    assert (p <= intervals[..., 1]).all()


def test_a_likelihood_ratio_is_sensitivity_over_one_minus_specificity() -> None:
    truth = np.array([True] * 100 + [False] * 200)
    positive = np.array([True] * 80 + [False] * 20 + [True] * 20 + [False] * 180)
    ratio, low, high = positive_likelihood_ratio(positive, truth)
    assert ratio == pytest.approx((80.5 / 101) / (20.5 / 201))  # 0.8 / 0.1 with half a case added
    assert low < ratio < high
    assert high / ratio == pytest.approx(ratio / low)


def test_a_perfect_table_has_a_finite_ratio() -> None:
    truth = np.array([True] * 10 + [False] * 10)
    assert np.isfinite(positive_likelihood_ratio(truth, truth)).all()
