"""Windows on a picture, and what of it shows something."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.canvas import CANVAS
from pipelines.hand_foot_scoring.windows import Pyramid, content, window_of


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_window_maps_the_middle_of_its_box_to_the_middle_of_the_canvas(turns: int, mirrored: bool) -> None:
    window = window_of((100.0, 200.0, 300.0, 500.0), turns, mirrored)
    middle = np.array([[(CANVAS[1] - 1) / 2, (CANVAS[0] - 1) / 2]])
    np.testing.assert_allclose(window.to_picture(middle)[0], (199.5, 349.5))
    assert np.sign(np.linalg.det(window.matrix[:, :2])) == (-1 if mirrored else 1)


def test_a_window_samples_what_lies_under_it_at_any_resolution() -> None:
    rows, columns = np.mgrid[:2048, :1536].astype(np.float32)
    picture = columns + 10 * rows  # a ramp survives averaging
    window = window_of((0.0, 0.0, 1536.0, 2048.0), 0, False)
    canvas = Pyramid.of(picture).sample(window)
    x, y = window.to_picture(np.array([[70.0, 100.0]]))[0]
    assert canvas[100, 70] == pytest.approx(x + 10 * y, abs=0.5)


def test_borders_of_one_grey_are_left_out() -> None:
    picture = np.full((400, 300), 255, np.float32)
    picture[40:380, 30:270] = np.random.default_rng(0).random((340, 240)) * 200
    left, top, right, bottom = content(Pyramid.of(picture))
    assert (left, top, right, bottom) == pytest.approx((30, 40, 270, 380), abs=2)


def test_an_empty_picture_is_looked_at_whole() -> None:
    assert content(Pyramid.of(np.zeros((400, 300), np.float32))) == (0, 0, 300, 400)


@pytest.mark.parametrize("wide", [13, 30, 50])
def test_nothing_of_a_white_border_is_left_where_it_was_painted_over(wide: int) -> None:
    picture = np.full((900, 700), 255, np.float32)
    inner = picture[wide:-wide, wide:-wide]
    inner[:] = np.random.default_rng(0).random(inner.shape) * 100
    pyramid = Pyramid.of(picture)
    for _, level in pyramid.within(content(pyramid)).levels:
        assert level.max() <= 100
