"""Metrics against an independent library or by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from pipelines.hand_foot_scoring.training.metrics import (
    agreement,
    calibration_error,
    damage_weights,
    quadratic_weighted_kappa,
    surrogate,
)


def test_kappa_and_balanced_accuracy_are_those_of_another_library() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 200).astype(float)
    score = np.clip(truth + rng.integers(-2, 3, 200), 0, 5).astype(float)
    expected = cohen_kappa_score(truth, score, weights="quadratic", labels=range(6))
    assert quadratic_weighted_kappa(truth, score, 5) == pytest.approx(expected)
    assert agreement(truth, score, 5).balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, score))


def test_a_reader_who_sees_no_damage_has_no_agreement_but_a_small_error() -> None:
    truth = np.array([0.0] * 95 + [4.0] * 5)
    row = agreement(truth, np.zeros(100), 4)
    assert row.kappa == 0
    assert row.rmse == pytest.approx(math.sqrt(0.8))
    assert row.rmse_damaged == 4
    assert row.balanced_accuracy == 0.5


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    confidence = np.full(100, 0.9)
    correct = np.arange(100) < 70
    assert calibration_error(confidence, correct) == pytest.approx(0.2)


def test_every_damage_bin_counts_alike() -> None:
    sums = np.array([0.0, 0, 0, 5, 9, 10, 200])
    weights = damage_weights(sums, (1, 10, 30, 100))
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2, 1, 1])


def test_the_surrogate_metrics_are_weighted_means_over_patients() -> None:
    truth = {
        "a": {"erosion": np.array([0.0, 0.0]), "narrowing": np.array([0.0])},
        "b": {"erosion": np.array([0.0, 0.0]), "narrowing": np.array([0.0])},
        "c": {"erosion": np.array([3.0, 4.0]), "narrowing": np.array([0.0])},
    }
    score = {
        "a": {"erosion": np.array([1.0, 1.0]), "narrowing": np.array([0.0])},
        "b": {"erosion": np.array([0.0, 0.0]), "narrowing": np.array([0.0])},
        "c": {"erosion": np.array([0.0, 0.0]), "narrowing": np.array([0.0])},
    }
    found = surrogate(truth, score, (1, 10, 30, 100))
    # a and b share a bin and weigh one half each, c weighs one
    assert found.erosion_rmse == pytest.approx((0.5 * 1 + 0.5 * 0 + math.sqrt(12.5)) / 2)
    assert found.narrowing_rmse == 0
    assert found.overall_units == pytest.approx((0.5 * 2 + 7) / 2)
    assert found.overall_log == pytest.approx((0.5 * math.log2(3) + 3) / 2)
