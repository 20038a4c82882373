"""Metrics against an independent library or by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from pipelines.hand_foot_scoring.evaluation.agreement import agreement, calibration_error


def test_kappa_and_balanced_accuracy_are_those_of_another_library() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 200).astype(float)
    score = np.clip(truth + rng.integers(-2, 3, 200), 0, 5).astype(float)
    expected = cohen_kappa_score(truth, score, weights="quadratic", labels=range(6))
    assert agreement(truth, score, 5).kappa == pytest.approx(expected)
    assert agreement(truth, score, 5).balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, score))


def test_a_reader_who_sees_no_damage_has_no_agreement_but_a_small_error() -> None:
    truth = np.array([0.0] * 95 + [4.0] * 5)
    row = agreement(truth, np.zeros(100), 4)
    assert row.kappa == 0
    assert row.rmse == pytest.approx(math.sqrt(0.8))
    assert row.rmse_damaged == 4
    assert row.balanced_accuracy == 0.5


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    probabilities = np.tile([0.9, 0.1], (100, 1))
    truth = (np.arange(100) >= 70).astype(float)
    assert calibration_error(probabilities, truth) == pytest.approx(0.2)
