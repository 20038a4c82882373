"""Simulated films: truth in pixels, and what cannot be seen is said to be absent."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.films import (
    CHILD_YEARS,
    SMALL_YEARS,
    child_age,
    film,
    other_film,
    random_age,
    random_limb,
    random_view,
    two_hands,
    view_film,
    weathered,
    wrist_film,
)
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.radiograph import View
from pipelines.hand_foot_scoring.sites import Part


def test_a_film_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    def make(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        skeleton = random_limb("hand", rng)
        return film(skeleton, random_view(skeleton, (128, 96), rng), rng).image

    assert np.array_equal(make(1), make(1))
    assert not np.array_equal(make(1), make(2))


def test_a_joint_outside_the_picture_is_absent_and_keeps_no_other_state() -> None:
    rng = np.random.default_rng(0)
    skeleton = hand(rng, odd=False)
    view = View((128, 96), 1.0, origin=(48.0, 20.0))  # the fingers lie above the film
    made = film(skeleton, view, rng, dressed=False, neighbour=False)
    for site, (_, y) in made.sites.items():
        assert (made.states[site] == "absent") == (y < 1 or not 1 <= made.sites[site][0] < 95 or y > 126), site
    assert made.states["PIP3"] == "absent"
    assert made.states["CMC3"] == "evaluable"


def test_truth_lies_on_the_joint_in_pixels() -> None:
    rng = np.random.default_rng(4)
    skeleton = hand(rng, Disease(), odd=False)
    view = replace(random_view(skeleton, (600, 450), rng, side="R"), rotation=0.2)
    made = film(skeleton, view, rng, dressed=False, neighbour=False)
    back = np.linalg.inv(view.matrix()) @ (np.array(made.sites["MCP3"]) - np.array(view.origin))
    np.testing.assert_allclose(back, skeleton.sites["MCP3"], atol=1e-6)
    assert made.side == "R"


def test_two_hands_lie_side_by_side_with_their_thumbs_inwards() -> None:
    image, (left, right) = two_hands((400, 640), np.random.default_rng(0))
    assert image.shape == (400, 640)
    assert (left.side, right.side) == ("L", "R")
    assert max(x for x, _ in left.sites.values()) < 330 < min(x for x, _ in right.sites.values()) + 10
    assert left.sites["MCP1"][0] > left.sites["MCP5"][0]
    assert right.sites["MCP1"][0] < right.sites["MCP5"][0]


def test_another_body_part_has_no_site() -> None:
    made = other_film((128, 96), np.random.default_rng(0))
    assert made.part == "other"
    assert not made.sites


@pytest.mark.parametrize("part", ["hand", "foot"])
@pytest.mark.parametrize("seen", ["oblique", "lateral"])
def test_a_limb_from_the_side_says_its_view_and_no_site(part: Part, seen: Literal["oblique", "lateral"]) -> None:
    made = view_film(part, seen, (128, 96), np.random.default_rng(1))
    assert (made.part, made.view) == (part, seen)
    assert not made.sites
    assert np.isfinite(made.image).all()


def test_a_wrist_that_fills_the_film_is_no_hand() -> None:
    made = wrist_film((128, 96), np.random.default_rng(0))
    assert made.part == "other"
    assert not made.sites


def test_whatever_happens_to_a_film_on_its_way_leaves_its_size() -> None:
    image = np.random.default_rng(0).random((128, 96)).astype(np.float32)
    changed = 0
    for seed in range(30):
        after = weathered(image, np.random.default_rng(seed))
        assert after.shape == image.shape
        assert np.isfinite(after).all()
        changed += not np.array_equal(after, image)
    assert changed > 10


def test_a_small_limb_with_a_long_forearm_may_lie_on_the_film() -> None:
    rng = np.random.default_rng(0)
    skeleton = hand(rng, Disease(), odd=False)
    fills = []
    for _ in range(60):
        view = random_view(skeleton, (256, 192), rng)
        fills.append(192 * skeleton.scale / view.pixel_mm / 256)
    assert min(fills) < 0.4
    assert max(fills) > 0.8


def test_more_children_are_small_than_by_their_number_and_none_is_grown() -> None:
    rng = np.random.default_rng(0)
    ages = np.array([child_age(rng) for _ in range(600)])
    assert ages.min() >= 0
    assert ages.max() < CHILD_YEARS
    assert np.mean(ages < SMALL_YEARS) > 1.6 * SMALL_YEARS / CHILD_YEARS  # a quarter by their number
    assert random_age(rng, 0.0) is None
    assert random_age(rng, 1.0) is not None
