"""A limb that was found: how it lies, and one made of several looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.hand_foot_scoring import BUNDLE, SHAPE
from pipelines.hand_foot_scoring.centres import Centre
from pipelines.hand_foot_scoring.limb import Limb, apart, mean_limb
from pipelines.hand_foot_scoring.shape import ShapeModel, load_shapes
from pipelines.hand_foot_scoring.sites import HAND_SITES, REACH_MM, Side
from pipelines.hand_foot_scoring.windows import window_of


@pytest.fixture(scope="module")
def arrangement(networks: None) -> ShapeModel:
    return load_shapes(BUNDLE / SHAPE)["hand"]


def lying(arrangement: ShapeModel, side: Side = "L", scale: float = 3.0, x: float = 400.0, turn: float = 0.0) -> Limb:
    """A hand of the mean arrangement whose origin lies at (x, 500)."""
    mirror = np.array([-1.0 if side == "R" else 1.0, 1.0])
    c, s = np.cos(turn), np.sin(turn)
    points = scale * arrangement.mean * mirror @ np.array([[c, s], [-s, c]]) + (x, 500.0)
    expected = {name: (float(a), float(b)) for name, (a, b) in zip(HAND_SITES, points, strict=True)}
    centres = {name: Centre(point, 0.8) for name, point in expected.items()}
    window = window_of((0, 0, 800, 1000), 0, side == "R")
    return Limb("hand", side, 0, window, centres, expected, scale * REACH_MM["hand"], 0.8, 0.1, arrangement)


@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_a_limb_says_how_it_lies(arrangement: ShapeModel, side: Side, turn: float) -> None:
    angle, scale, middle = lying(arrangement, side, turn=turn).lie()
    assert angle == pytest.approx(turn, abs=1e-6)
    assert scale == pytest.approx(3.0)
    assert middle == pytest.approx((400.0, 500.0))


def test_the_support_of_a_limb_is_what_its_sites_have_together(arrangement: ShapeModel) -> None:
    limb = lying(arrangement)
    assert limb.support == pytest.approx(0.8 * len(HAND_SITES))
    assert replace(limb, quality=0.4).support == pytest.approx(limb.support / 2)


def test_looks_count_by_their_confidence_and_one_that_misses_a_site_lowers_it(arrangement: ShapeModel) -> None:
    limb = lying(arrangement)
    x, y = limb.centres["MCP3"].point
    sure = replace(limb, centres={"MCP3": Centre((x, y), 0.9), "MCP2": Centre((1.0, 2.0), 0.4)})
    doubtful = replace(limb, centres={"MCP3": Centre((x + 10, y), 0.3)})
    mean = mean_limb([sure, doubtful])
    assert mean.centres["MCP3"].point == pytest.approx((x + 2.5, y))
    assert mean.centres["MCP3"].confidence == pytest.approx(0.6)
    assert mean.centres["MCP2"].confidence == pytest.approx(0.2)
    assert "MCP2" not in mean_limb([sure, doubtful, doubtful]).centres


def test_two_limbs_lie_apart_and_one_seen_twice_does_not(arrangement: ShapeModel) -> None:
    assert apart(lying(arrangement), lying(arrangement, "R", x=800.0))
    assert not apart(lying(arrangement), lying(arrangement, scale=3.1, x=420.0))
