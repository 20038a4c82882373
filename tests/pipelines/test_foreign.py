"""Distance from known cases, and how many of them are as far off."""

from __future__ import annotations

import numpy as np

from pipelines.foreign import conformal_p_value, mahalanobis


def test_the_distance_counts_each_direction_in_its_own_spread() -> None:
    whiten = np.diag([1 / 2.0, 1 / 0.5])  # spreads of 2 and 0.5
    features = np.array([[1.0, 1.0], [3.0, 1.0], [1.0, 1.5]])
    expected = [0.0, np.sqrt(0.5), np.sqrt(0.5)]  # one spread in one of two directions
    np.testing.assert_allclose(mahalanobis(features, np.array([1.0, 1.0]), whiten), expected)


def test_the_p_value_is_the_share_of_known_cases_that_are_as_foreign() -> None:
    known = np.arange(1.0, 10.0)  # 9 cases
    np.testing.assert_allclose(conformal_p_value(known, np.array([0.0, 9.0, 9.5])), [1.0, 0.2, 0.1])
