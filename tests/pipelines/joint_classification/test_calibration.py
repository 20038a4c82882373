"""Calibration: a temperature that was put in is found again, and intervals hold what they promise."""

import numpy as np
import pytest

from pipelines.joint_classification import calibration
from pipelines.joint_classification.calibration import ClassCalibration, log_odds, probability


def test_a_calibration_comes_back_from_its_arrays() -> None:
    made = ClassCalibration(1.7, np.array([0.1, -0.2, 0.1]), np.array([0.3, 0.6]), np.array([1.0, 0.8, 0.4]))
    again = ClassCalibration.of(made.arrays())
    logits = np.random.default_rng(0).normal(size=(9, 3))
    np.testing.assert_array_equal(
        again.intervals(again.probabilities(logits)), made.intervals(made.probabilities(logits))
    )


def test_log_odds_and_probability_are_inverse() -> None:
    p = np.array([0.01, 0.3, 0.5, 0.99])
    np.testing.assert_allclose(probability(log_odds(p)), p)


def test_no_probability_promises_more_than_the_calibration_cases_can_vouch_for() -> None:
    made = ClassCalibration(1.0, np.zeros(3), np.empty(0), np.ones(1))
    p = made.probabilities(np.array([[60.0, -60.0, 0.0]]))
    assert p.sum() == pytest.approx(1.0)
    assert p.min() == pytest.approx(calibration.FLOOR)
    intervals = made.intervals(p)
    assert (intervals[..., 0] <= p).all()
    assert (p <= intervals[..., 1]).all()
