"""Where the limb of a graded film lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.hand_foot_scoring import BUNDLE, LOCALISER, SHAPE, weights
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.shape import load_shapes
from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm
from pipelines.hand_foot_scoring.training.data.placed import limb_at, limb_of
from pipelines.hand_foot_scoring.windows import Pyramid
from tests.pipelines.hand_foot_scoring.graded_data import SHAPE as FILM
from tests.pipelines.hand_foot_scoring.graded_data import drawn

BLANK = Pyramid.of(np.zeros(FILM, np.float32))


@pytest.fixture(scope="module")
def finder(networks: None) -> Finder:
    return Finder(weights.load_localiser(BUNDLE / LOCALISER), load_shapes(BUNDLE / SHAPE))


@pytest.mark.parametrize(("part", "side"), [("hand", "L"), ("hand", "R"), ("foot", "R")])
def test_marked_joints_say_how_a_limb_lies_and_where_the_others_are(networks: None, part: Part, side: Side) -> None:
    film = drawn(part, side, 3)
    arrangement = load_shapes(BUNDLE / SHAPE)[part]
    some = dict(list(film.sites.items())[:: 2 if part == "hand" else 1])
    limb = limb_at(some, side, arrangement)
    assert limb.length == pytest.approx(0.77 * FILM[0], rel=0.06)  # `sample.FILL`
    away = {s: float(np.hypot(*np.subtract(limb.expected[s], film.sites[s]))) / limb.length for s in limb.expected}
    assert max(away.values()) < 0.06, away
    assert limb.quarter_turns == 0
    assert abs(limb.lie()[0]) < 0.2


def test_a_limb_on_its_side_lies_a_quarter_turn(networks: None) -> None:
    film = drawn("hand", "R", 3)
    height = FILM[0]
    turned = {site: (height - 1 - y, x) for site, (x, y) in film.sites.items()}  # clockwise
    limb = limb_at(turned, "R", load_shapes(BUNDLE / SHAPE)["hand"])
    assert limb.quarter_turns == 1
    assert limb.lie()[0] == pytest.approx(np.pi / 2, abs=0.2)


def graded(film_part: Part, side: Side, **sites: tuple[float, float]) -> GradedFilm:
    return GradedFilm(Path("a.png"), "P1", film_part, side, {}, "row 2", sites)


def test_a_joint_marked_outside_its_picture_is_said(finder: Finder) -> None:
    found = limb_of(graded("hand", "L", MCP2=(20.0, FILM[0] + 5.0)), BLANK, finder)
    assert found == f"MCP2 is marked outside the picture of {FILM[1]} x {FILM[0]} pixels"


def test_without_enough_marks_the_localiser_looks_and_what_it_finds_instead_is_said(finder: Finder) -> None:
    film = drawn("hand", "L", 3)
    pyramid = Pyramid.of(np.ascontiguousarray(film.image))
    found = limb_of(graded("hand", "L"), pyramid, finder)
    assert not isinstance(found, str)
    assert found.side == "L"
    assert limb_of(graded("foot", "R"), pyramid, finder) == "no right foot was found on it, but left hand"
    assert limb_of(graded("foot", "R"), BLANK, finder) == "no right foot was found on it, but no hand and no foot"
