"""The surrogate of the RA2-DREAM metrics, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.hand_foot_scoring.evaluation.surrogate import damage_weights, surrogate


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
