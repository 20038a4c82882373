"""A crop lies where its joint does, turned as the limb stands, whatever the exposure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.hand_foot_scoring.crops import (
    CROP,
    FIELD_MM,
    MIDDLE_MM,
    WIDE_FIELD_MM,
    crop_window,
    field_mm,
    normalised,
    share_outside,
)
from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.shape import ShapeModel, Similarity
from pipelines.hand_foot_scoring.sites import HAND_SITES, Side
from pipelines.hand_foot_scoring.windows import Window

PIXELS_PER_MM, TURN = 4.0, 0.3


def limb(side: Side) -> Limb:
    """A hand whose sites lie as the arrangement says, turned by 0.3 radians; a right one mirrored."""
    mean = np.random.default_rng(0).normal(0, 40, (len(HAND_SITES), 2))
    model = ShapeModel("hand", mean, np.zeros((0, mean.size)), np.zeros(0), 1.0)
    upright = Similarity(PIXELS_PER_MM, TURN, (500.0, 700.0)).apply(mean)
    points = upright * [-1.0 if side == "R" else 1.0, 1.0]
    expected = {name: (float(x), float(y)) for name, (x, y) in zip(HAND_SITES, points, strict=True)}
    whole = Window(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    return Limb("hand", side, 0, whole, {}, expected, 700.0, 1.0, 0.0, model)


def upright() -> dict[str, tuple[float, float]]:
    """The sites of a left hand that is not turned."""
    places = PIXELS_PER_MM * limb("L").arrangement.mean + 500
    return {name: (float(x), float(y)) for name, (x, y) in zip(HAND_SITES, places, strict=True)}


@pytest.mark.parametrize("side", ["L", "R"])
def test_the_middle_of_the_crop_is_the_joint_and_its_side_the_field(side: Side) -> None:
    window = crop_window(limb(side), "MCP2", (321.0, 123.0))
    middle = np.full((1, 2), (CROP - 1) / 2)
    np.testing.assert_allclose(window.to_picture(middle)[0], (321.0, 123.0))
    assert window.scale * CROP == pytest.approx(FIELD_MM * PIXELS_PER_MM)
    assert np.sign(np.linalg.det(window.matrix[:, :2])) == (-1 if side == "R" else 1)


def test_the_end_of_the_radius_has_a_wider_field() -> None:
    assert field_mm("RAD") == WIDE_FIELD_MM["RAD"] > field_mm("PIP3") == FIELD_MM


def test_gain_and_brightness_drop_out_of_a_crop() -> None:
    crop = np.random.default_rng(0).random((CROP, CROP)).astype(np.float32)
    np.testing.assert_allclose(normalised(crop), normalised(300 * crop + 40), atol=0.02)
    assert np.abs(normalised(crop)).max() <= 1


def test_the_share_of_the_middle_of_a_crop_that_lies_outside_of_the_picture_is_known() -> None:
    hand = replace(limb("L"), expected={name: (x, y) for name, (x, y) in upright().items()})
    assert share_outside(hand, "MCP2", (400.0, 500.0), (1000, 800)) == 0
    assert share_outside(hand, "MCP2", (400.0, 999.5), (1000, 800)) == pytest.approx(0.5, abs=0.02)
    assert share_outside(hand, "MCP2", (-0.5, 999.5), (1000, 800)) == pytest.approx(0.75, abs=0.02)


def test_corners_and_rims_of_a_crop_may_lie_outside_of_the_picture() -> None:
    hand = replace(limb("L"), expected={name: (x, y) for name, (x, y) in upright().items()})
    radius = MIDDLE_MM / 2 * PIXELS_PER_MM
    assert share_outside(hand, "MCP2", (radius + 1, 500.0), (1000, 800)) == 0
    # a circle's segment beyond 0.8 of its radius is (acos 0.8 - 0.8 sqrt(1 - 0.8^2)) / pi of it
    assert share_outside(hand, "MCP2", (0.8 * radius - 0.5, 500.0), (1000, 800)) == pytest.approx(0.052, abs=0.01)


def test_of_the_radiocarpal_joint_the_space_has_to_be_on_the_picture_of_the_radius_its_end() -> None:
    hand = replace(limb("L"), expected={name: (x, y) for name, (x, y) in upright().items()})
    below = 999.5 - 10 * PIXELS_PER_MM  # 10 mm above the lower edge
    assert share_outside(hand, "RADCARP", (400.0, below), (1000, 800)) == 0
    assert share_outside(hand, "RAD", (400.0, below), (1000, 800)) > 0.05
