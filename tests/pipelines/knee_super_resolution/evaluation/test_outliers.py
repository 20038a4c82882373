"""How the gates are measured."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.knee_super_resolution.evaluation.outliers import SPOILED, ScoredSeries, auroc, moved, spoil, table


def test_the_area_is_that_of_scikit_learn_with_ties_counted_half() -> None:
    random = np.random.default_rng(0)
    inside, outside = random.integers(0, 8, 60) / 8, random.integers(3, 11, 40) / 8
    labels = np.repeat([0, 1], [60, 40])
    expected = roc_auc_score(labels, np.concatenate([inside, outside]))
    assert auroc(inside.tolist(), outside.tolist()) == pytest.approx(expected)


def test_every_spoiled_knee_is_of_a_listed_kind_and_differs_from_the_knee() -> None:
    random = np.random.default_rng(1)
    knee = random.random((8, 40, 40))
    for name, array in spoil(knee, random).items():
        assert name.startswith(SPOILED)
        assert array.shape == knee.shape
        assert not np.array_equal(array, knee)


def test_a_swing_of_nothing_moves_nothing() -> None:
    random = np.random.default_rng(2)
    planes = random.random((2, 32, 24))
    assert moved(planes, period=5.0, amplitude=0.0, random=random) == pytest.approx(planes)


def test_what_was_not_flagged_is_named() -> None:
    text = table(
        [ScoredSeries("k", "knee", 0.1)],
        [ScoredSeries("hand", "other body part", 0.3), ScoredSeries("ghosts", "ghosts", 0.9)],
    )
    assert "| other body part | 1 | 1.000 | 0 | 0 |" in text
    assert text.endswith("Not flagged: hand (0.30).")
