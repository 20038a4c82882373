"""What a picture shows beside the limbs that were found: where there is more, what it is, and the picture without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.hand_foot_scoring import BUNDLE, SHAPE
from pipelines.hand_foot_scoring.beside import Rest, covered, rests, sight_of, without
from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.network import OTHER_POSE, POSES
from pipelines.hand_foot_scoring.shape import ShapeModel, load_shapes
from pipelines.hand_foot_scoring.simulation.films import Film
from pipelines.hand_foot_scoring.simulation.sample import film_of
from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.hand_foot_scoring.windows import Image, Pyramid, content, window_of

SHOWN = (550, 450)  # rows and columns of the films


@pytest.fixture(scope="module")
def shapes(networks: None) -> dict[Part, ShapeModel]:
    return load_shapes(BUNDLE / SHAPE)


def at_its_sites(made: Film, shapes: dict[Part, ShapeModel]) -> Limb:
    """The limb of a simulated film, found where it lies."""
    assert made.part != "other"
    window = window_of((0, 0, *made.image.shape[::-1]), 0, made.side == "R")
    return Limb(made.part, made.side, 0, window, {}, made.sites, made.length, 0.9, 0.1, shapes[made.part])


def rests_of(image: Image, *limbs: Limb) -> tuple[Rest, ...]:
    pyramid = Pyramid.of(np.ascontiguousarray(image, np.float32))
    return rests(pyramid, limbs, content(pyramid))


@pytest.mark.parametrize("part", ["hand", "foot"])
@pytest.mark.parametrize("side", ["L", "R"])
def test_nothing_lies_beside_a_limb_that_is_alone(shapes: dict[Part, ShapeModel], part: Part, side: Side) -> None:
    made = film_of(part, side, 4, shape=SHOWN)
    assert rests_of(made.image, at_its_sites(made, shapes)) == ()
    marked = made.image.copy()
    marked[20:50, 5:35] = 1.2
    marked[:, :8] = 1.2
    assert rests_of(marked, at_its_sites(made, shapes)) == (), "a marker and a bright border are no limbs"


def test_a_second_limb_lies_beside_the_first(shapes: dict[Part, ShapeModel]) -> None:
    first, second = film_of("hand", "L", 4, shape=SHOWN), film_of("hand", "R", 5, shape=SHOWN)
    image = np.concatenate((first.image, second.image), axis=1)
    (rest,) = rests_of(image, at_its_sites(first, shapes))
    left, top, right, bottom = rest.box
    inside = [left <= x + SHOWN[1] <= right and top <= y <= bottom for x, y in second.sites.values()]
    assert sum(inside) >= 20  # of 22
    assert rest.aside_cm2 == rest.area_cm2 > 60
    moved = replace(second, sites={name: (x + SHOWN[1], y) for name, (x, y) in second.sites.items()})
    assert rests_of(image, at_its_sites(first, shapes), at_its_sites(moved, shapes)) == ()


def test_what_lies_beyond_the_wrist_is_in_line_with_the_hand(shapes: dict[Part, ShapeModel]) -> None:
    first, second = film_of("hand", "L", 4, shape=SHOWN), film_of("foot", "R", 5, shape=SHOWN)
    (rest,) = rests_of(np.concatenate((first.image, second.image)), at_its_sites(first, shapes))
    assert rest.aside_cm2 < 0.1 * rest.area_cm2


def test_a_limb_is_painted_over_and_its_neighbour_is_not(shapes: dict[Part, ShapeModel]) -> None:
    first, second = film_of("hand", "L", 4, shape=SHOWN), film_of("hand", "R", 5, shape=SHOWN)
    pyramid = Pyramid.of(np.concatenate((first.image, second.image), axis=1))
    limb = at_its_sites(first, shapes)
    painted = without(pyramid, (limb,))
    assert painted.shape == pyramid.shape
    own = covered(pyramid, (limb,))
    (_, before), (_, after) = pyramid.levels[-1], painted.levels[-1]
    assert np.ptp(after[own]) == 0
    np.testing.assert_array_equal(after[~own], before[~own])
    ground, fine = after[own][0], painted.levels[0][1]
    assert all(fine[round(y), round(x)] == ground for x, y in first.sites.values())


LARGE = Rest((0, 0, 100, 200), 120.0, 120.0, 0.2, 0.1)


def seen(hand: float, foot_lateral: float = 0.0) -> NDArray[np.float64]:
    """Probabilities of the poses."""
    poses = np.zeros(OTHER_POSE + 1)
    poses[POSES.index(("hand", False, 0))] = hand
    poses[OTHER_POSE - 1] = foot_lateral
    poses[OTHER_POSE] = 1 - hand - foot_lateral
    return poses


def test_a_limb_in_another_view_is_named() -> None:
    sight = sight_of(LARGE, seen(0.1, 0.8))
    assert sight is not None
    assert sight.words == "a lateral view of a foot"


def test_small_letters_that_look_like_a_hand_are_none() -> None:
    small = replace(LARGE, area_cm2=30.0, aside_cm2=30.0, share=0.025)
    assert sight_of(small, seen(0.85)) is None
    assert sight_of(small, seen(0.97)) is not None
    assert sight_of(LARGE, seen(0.85)) is not None


def test_what_is_large_is_told_of_unless_it_is_the_arm_or_a_plaster() -> None:
    unclear = seen(0.3, 0.3)
    sight = sight_of(LARGE, unclear)
    assert sight is not None
    assert sight.part == "other"
    assert sight_of(replace(LARGE, aside_cm2=5.0), unclear) is None
    assert sight_of(replace(LARGE, contrast=0.03), unclear) is None
