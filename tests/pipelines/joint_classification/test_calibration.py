"""Calibration: a temperature that was put in is found again, and intervals hold what they promise."""

import numpy as np
import pytest

from pipelines.joint_classification import calibration
from pipelines.joint_classification.calibration import (
    Calibration,
    expected_calibration_error,
    fit_temperature,
    log_odds,
    positive_likelihood_ratio,
    probability,
    reliability,
    softmax,
)


@pytest.fixture(scope="module")
def cases():
    """Logits that are three times too sure, and labels drawn from what they should have been."""
    rng = np.random.default_rng(0)
    right = rng.normal(size=(4000, 3)) * 1.5
    labels = np.array([rng.choice(3, p=p) for p in softmax(right)])
    return 3 * right, labels


def test_an_overconfident_network_is_cooled_by_the_factor_it_was_heated_by(cases):
    logits, labels = cases
    temperature, bias = fit_temperature(logits, labels)
    assert temperature == pytest.approx(3.0, rel=0.12)
    assert np.abs(bias).max() < 0.15
    assert bias.sum() == pytest.approx(0.0, abs=1e-9)
    before, after = (expected_calibration_error(softmax(x), labels) for x in (logits, logits / temperature + bias))
    assert after < 0.03 < before


def test_intervals_hold_the_mean_of_other_scans_in_nine_of_ten():
    rng = np.random.default_rng(1)

    def scans(joints):
        return rng.normal(size=(joints, 1, 3)) * 2 + rng.normal(size=(joints, 4, 3)) * 0.6

    logits = rng.normal(size=(2000, 3)) * 2
    fitted = calibration.fit(logits, np.array([rng.choice(3, p=p) for p in softmax(logits)]), scans(150))
    p = fitted.probabilities(scans(300).reshape(-1, 3)).reshape(300, 4, 3)
    intervals = fitted.intervals(p.reshape(-1, 3)).reshape(300, 4, 3, 2)
    others = (p.sum(1, keepdims=True) - p) / 3
    inside = (others >= intervals[..., 0]) & (others <= intervals[..., 1])
    assert 0.82 < inside.mean() < 0.99
    assert (intervals[..., 0] <= p).all()
    assert (p <= intervals[..., 1]).all()


def test_a_calibration_comes_back_from_its_arrays():
    made = Calibration(1.7, np.array([0.1, -0.2, 0.1]), np.array([0.3, 0.6]), np.array([1.0, 0.8, 0.4]))
    again = Calibration.of(made.arrays())
    logits = np.random.default_rng(0).normal(size=(9, 3))
    np.testing.assert_array_equal(
        again.intervals(again.probabilities(logits)), made.intervals(made.probabilities(logits))
    )


def test_log_odds_and_probability_are_inverse():
    p = np.array([0.01, 0.3, 0.5, 0.99])
    np.testing.assert_allclose(probability(log_odds(p)), p)


def test_a_likelihood_ratio_is_sensitivity_over_one_minus_specificity():
    truth = np.array([True] * 100 + [False] * 200)
    positive = np.array([True] * 80 + [False] * 20 + [True] * 20 + [False] * 180)
    ratio, low, high = positive_likelihood_ratio(positive, truth)
    assert ratio == pytest.approx((80.5 / 101) / (20.5 / 201))  # 0.8 / 0.1 with half a case added
    assert low < ratio < high
    assert high / ratio == pytest.approx(ratio / low)


def test_a_perfect_table_has_a_finite_ratio():
    truth = np.array([True] * 10 + [False] * 10)
    assert np.isfinite(positive_likelihood_ratio(truth, truth)).all()


def test_reliability_counts_every_case_once():
    p = np.array([[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.4, 0.35, 0.25]])
    assert reliability(p, np.array([0, 1, 0])) == [
        (0.4, 1.0, pytest.approx(1 / 3)),
        (pytest.approx(0.9), 0.5, pytest.approx(2 / 3)),
    ]
    assert expected_calibration_error(p, np.array([0, 1, 0])) == pytest.approx(0.6 / 3 + 0.4 * 2 / 3)


def test_no_probability_promises_more_than_the_calibration_cases_can_vouch_for():
    made = Calibration(1.0, np.zeros(3), np.empty(0), np.ones(1))
    p = made.probabilities(np.array([[60.0, -60.0, 0.0]]))
    assert p.sum() == pytest.approx(1.0)
    assert p.min() == pytest.approx(calibration.FLOOR)
    intervals = made.intervals(p)
    assert (intervals[..., 0] <= p).all()
    assert (p <= intervals[..., 1]).all()
