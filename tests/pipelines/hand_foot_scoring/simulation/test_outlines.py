"""Outlines of bones: where a line meets them, and the space between two of them, negative where they overlap."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.outlines import crossings, resampled, rotated, space_between, unit

SQUARE = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
X, Y = np.array([1.0, 0.0]), np.array([0.0, 1.0])


def test_a_line_meets_a_square_twice_or_not_at_all() -> None:
    assert sorted(crossings(SQUARE, X, Y, 1.5)) == pytest.approx([0, 4])
    assert len(crossings(SQUARE, X, Y, 5.0)) == 0


@pytest.mark.parametrize("gap", [3.0, 0.5, -1.0])
def test_the_space_between_two_squares_is_read_along_the_axis(gap: float) -> None:
    assert space_between(SQUARE, SQUARE + np.array([4 + gap, 0.3]), np.array([4.0, 2.0]), X, 1.0) == pytest.approx(gap)


def test_where_no_line_meets_both_there_is_no_space_to_read() -> None:
    assert np.isnan(space_between(SQUARE, SQUARE + np.array([9.0, 40.0]), np.array([6.0, 2.0]), X, 1.0))


def test_points_lie_evenly_along_an_outline() -> None:
    points = resampled(SQUARE, 16)
    np.testing.assert_allclose(np.hypot(*np.diff(points, axis=0).T), 1.0)


def test_a_quarter_turn_takes_right_to_down() -> None:
    np.testing.assert_allclose(rotated(X, np.pi / 2), Y, atol=1e-12)
    np.testing.assert_allclose(unit(np.array([3.0, 4.0])), [0.6, 0.8])
