"""How the gates are measured."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_super_resolution.evaluation.outliers import SPOILED, ScoredSeries, moved, spoil, table


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
