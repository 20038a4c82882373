"""Random fields and shapes."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_super_resolution.simulation.shapes import (
    coil,
    cover,
    ellipsoid,
    noise,
    ridges,
    rotation,
    tube,
    union,
)

SHAPE = (30, 32, 34)


def grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axes = [np.arange(21, dtype=np.float32) - 10] * 3
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x, y, z


def test_distances_are_negative_inside_and_in_the_unit_of_the_grid() -> None:
    x, y, z = grid()
    ball = ellipsoid(x, y, z, (0, 0, 0), (5, 5, 5))
    assert ball[10, 10, 10] == pytest.approx(-5)
    assert ball[18, 10, 10] == pytest.approx(3)
    rod = tube(x, y, z, np.array([-5.0, 0, 0]), np.array([5.0, 0, 0]), 2.0)
    assert rod[12, 13, 10] == pytest.approx(1)
    assert union(ball, rod, 1e-3)[12, 13, 10] == pytest.approx(min(ball[12, 13, 10], rod[12, 13, 10]))


def test_cover_is_half_at_the_surface() -> None:
    assert cover(np.array([-3.0, 0.0, 3.0], np.float32), 0.5) == pytest.approx([1, 0.5, 0], abs=1e-4)


def test_fields_have_unit_variance_and_the_scale_that_was_asked_for() -> None:
    fine, coarse = (noise(SHAPE, scale, np.random.default_rng(0)) for scale in (1.0, 4.0))
    assert fine.shape == coarse.shape == SHAPE
    assert float(fine.std()) == pytest.approx(1, abs=0.05)
    assert np.abs(np.diff(fine, axis=0)).mean() > 2 * np.abs(np.diff(coarse, axis=0)).mean()
    assert float(ridges(SHAPE, 1.0, np.random.default_rng(1)).std()) == pytest.approx(1, abs=0.01)


def test_a_rotation_keeps_lengths_and_handedness() -> None:
    turn = rotation(np.array([0.3, -0.5, 1.1]))
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1)


def test_a_coil_is_smooth_and_never_blind() -> None:
    sensitivity = coil(SHAPE, np.random.default_rng(2))
    assert sensitivity.min() >= 0.3
    assert np.abs(np.diff(sensitivity, axis=1)).max() < 0.05
