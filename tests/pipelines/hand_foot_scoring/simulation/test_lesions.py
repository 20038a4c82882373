"""Erosions and what is none: bone is missing inside the outline, and larger erosions have higher grades."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.disease import LESION_RADIUS
from pipelines.hand_foot_scoring.simulation.lesions import (
    BoneEnd,
    bitten,
    erosion,
    healthy_marks,
    random_bite,
    rim_erosion,
    spur,
    wrist_marks,
)

END = BoneEnd((20.0, 10.0), (0.0, -1.0), 6.0, head=True)
X, Y = np.arange(0, 40, 0.25, dtype=np.float32)[None, :], np.arange(0, 40, 0.25, dtype=np.float32)[:, None]
BONE = ((np.abs(X - 20) < 6) & (Y > 10)).astype(np.float32)


def lost_mm2(single: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    out = BONE
    for bite in erosion(END, single, 1.0, rng):
        out = bitten(out, bite, X, Y, 0.25)
    return float(np.maximum(BONE - out, 0).sum()) * 0.25**2


def test_bone_is_missing_inside_of_a_bite_and_nowhere_else() -> None:
    bite = random_bite(np.random.default_rng(0), (20.0, 20.0), (3.0, 2.0), 0.0, 0.9, irregular=0.0)
    out = bitten(np.ones((160, 160), np.float32), bite, X, Y, 0.25)
    assert out[80, 80] == pytest.approx(0.1, abs=0.05)
    assert out[10, 10] == pytest.approx(1.0)


def test_an_erosion_of_a_higher_grade_takes_more_bone() -> None:
    means = [np.mean([lost_mm2(single, seed) for seed in range(30)]) for single in (1, 2, 3, 5)]
    assert means == sorted(means)
    assert means[0] > 0.5


def test_an_erosion_lies_at_the_end_of_the_bone() -> None:
    for seed in range(20):
        for bite in erosion(END, 2, 1.0, np.random.default_rng(seed)):
            assert 8 < bite.centre[1] < 20
            assert abs(bite.centre[0] - 20) < 8.5


def test_an_erosion_of_a_short_bone_lies_at_its_border() -> None:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    outline = 8 * np.column_stack((np.cos(angle), np.sin(angle)))
    for seed in range(20):
        first = rim_erosion(np.zeros(2), outline, 1, 1.0, np.random.default_rng(seed))[0]
        assert 5.5 < np.hypot(*first.centre) < 8.5
        assert max(first.radii) < 1.3 * LESION_RADIUS[1][1]


def test_a_spur_is_bone_outside_of_the_outline() -> None:
    out = bitten(BONE, spur(END, 1.0, 1.5, np.random.default_rng(0)), X, Y, 0.25, usual=1.0)
    assert out[BONE == 0].sum() * 0.25**2 > 0.3
    np.testing.assert_allclose(out[BONE > 0], 1)


def test_healthy_marks_are_faint_or_small() -> None:
    for seed in range(200):
        for mark in healthy_marks(END, 40.0, 1.0, np.random.default_rng(seed)):
            out = bitten(BONE, mark, X, Y, 0.25)
            assert np.maximum(BONE - out, 0).sum() * 0.25**2 < 4
            assert np.maximum(out - BONE, 0).sum() * 0.25**2 < 7


def test_marks_of_a_healthy_wrist_take_little_bone_away() -> None:
    for seed in range(100):
        for mark in wrist_marks(END, True, 1.0, np.random.default_rng(seed)):
            out = bitten(BONE, mark, X, Y, 0.25, usual=1.0)
            assert np.maximum(BONE - out, 0).sum() * 0.25**2 < 5
            assert np.maximum(BONE - out, 0).max() < 0.5
