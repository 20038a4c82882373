"""A radiograph in layers: together they are the radiograph, and the soft tissue has no bone in it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.layers import Canvas, filled, inside_mm, lie, mean_sites, taken_apart
from tests.pipelines.hand_foot_scoring.simulation.marked_phantom import marked_phantom


def values_at(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.asarray(map_coordinates(image, (points[:, 1], points[:, 0]), order=1))


def within(outline: np.ndarray) -> np.ndarray:
    return np.asarray(outline.mean(axis=0) + 0.8 * (outline - outline.mean(axis=0)))


def test_the_sum_of_the_layers_is_the_picture_again(hand_canvas: Canvas) -> None:
    picture, _, outlines = marked_phantom(hand(np.random.default_rng(3), odd=False))
    rings = [name for name in outlines if name not in ("radius", "ulna")]
    before = values_at(picture, np.concatenate([within(outlines[name]) for name in rings]))
    again = np.concatenate([within(hand_canvas.bones[name].outline) for name in rings])
    after = values_at(hand_canvas.recomposed(), again)
    slope, shift = np.polyfit(after, before, 1)
    error = np.abs(slope * after + shift - before)
    assert error.mean() < 0.02 * np.ptp(before)


def test_soft_tissue_has_no_bone_in_it(hand_canvas: Canvas) -> None:
    for ray in (2, 3, 4, 5):
        shaft = hand_canvas.bones[f"metacarpal {ray}"].outline.mean(axis=0)[None]
        whole = float(values_at(hand_canvas.recomposed(), shaft)[0])
        soft = float(values_at(hand_canvas.tissue, shaft)[0])
        assert soft < whole - 0.15
        assert soft > hand_canvas.air + 0.05


def test_a_right_limb_becomes_a_left_one(foot_canvas: Canvas) -> None:
    assert foot_canvas.sites["MTP1"][0] > foot_canvas.sites["MTP5"][0]
    assert foot_canvas.sites["IP1"][1] < foot_canvas.sites["MTP1"][1]


def test_a_canvas_lies_as_the_mean_limb_does(hand_canvas: Canvas) -> None:
    angle, scale = lie("hand", hand_canvas.sites)
    assert abs(angle) < 1e-6
    assert scale == pytest.approx(1 / hand_canvas.pixel_mm)


def test_a_turned_and_enlarged_mean_limb_is_found_to_lie_so() -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    sites = {site: (4 * (c * x - s * y) + 90, 4 * (s * x + c * y) + 7) for site, (x, y) in mean_sites("foot").items()}
    angle, scale = lie("foot", sites)
    assert angle == pytest.approx(0.3)
    assert scale == pytest.approx(4)


def test_what_is_covered_is_filled_in_from_around(hand_canvas: Canvas) -> None:
    picture, sites, outlines = marked_phantom(hand(np.random.default_rng(3), odd=False))
    x, y = outlines["metacarpal 3"].mean(axis=0)
    arrow = np.array([[x - 4, y - 4], [x + 4, y - 4], [x + 4, y + 4], [x - 4, y + 4]])
    picture[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4] = 9
    mended = taken_apart("arrow", picture, "hand", "L", sites, outlines, (arrow,))
    middle = hand_canvas.bones["metacarpal 3"].outline.mean(axis=0)[None]
    assert abs(values_at(mended.recomposed(), middle) - values_at(hand_canvas.recomposed(), middle)) < 0.1


def test_a_slope_is_filled_in_as_a_slope() -> None:
    rows, columns = np.mgrid[:60, :80].astype(np.float32)
    slope = 0.02 * columns + 0.01 * rows
    hidden = np.hypot(rows - 30, columns - 40) < 15
    out = filled(np.where(hidden, 9.0, slope).astype(np.float32), hidden)
    np.testing.assert_allclose(out, slope, atol=0.03)


def test_depth_is_positive_inside_and_in_mm() -> None:
    depth = inside_mm(np.array([[10.0, 10.0], [50.0, 10.0], [50.0, 30.0], [10.0, 30.0]]), (40, 60), 0.5)
    assert depth[20, 30] == pytest.approx(5.0, abs=0.3)
    assert depth[20, 4] == pytest.approx(-3.0, abs=0.3)
