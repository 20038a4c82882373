"""From class maps and pictures to limbs, with the networks that are shipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image as Pillow

from pipelines.hand_foot_scoring import BUNDLE, SHAPE, weights
from pipelines.hand_foot_scoring.canvas import CANVAS
from pipelines.hand_foot_scoring.localise import (
    ORIENTATIONS,
    Finder,
    Pyramid,
    Sight,
    _on_picture,
    content,
    peaks,
    soft_argmax,
    window_of,
)
from pipelines.hand_foot_scoring.network import OTHER_POSE, POSES
from pipelines.hand_foot_scoring.reading import MIN_VIEW_CONFIDENCE
from pipelines.hand_foot_scoring.shape import load_shapes
from pipelines.hand_foot_scoring.simulation.films import FILM_MIDDLE_MM, Film, film, two_hands
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.radiograph import Exposure, View
from pipelines.hand_foot_scoring.sites import REACH_MM, Part

EXPOSURE = Exposure(noise=0.01, gamma=0.8)


@pytest.fixture(scope="module")
def finder(networks: None) -> Iterator[Finder]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Finder(weights.load_localiser(), load_shapes(BUNDLE / SHAPE))
    torch.set_num_threads(threads)


def simulated(part: Part, side: str, turns: int = 0, seed: int = 0) -> Film:
    """A film of 600 x 600 with one limb in its middle."""
    rng = np.random.default_rng(seed)
    skeleton = (hand if part == "hand" else foot)(rng, odd=False)
    pixel_mm = REACH_MM[part] * skeleton.scale / 450
    view = View((600, 600), pixel_mm, turns * np.pi / 2 + 0.05, (0.0, 0.0), side == "R")
    middle = view.to_pixels(np.array([FILM_MIDDLE_MM[part]]) * skeleton.scale)[0]
    view = replace(view, origin=(300 - middle[0], 300 - middle[1]))
    return film(skeleton, view, rng, EXPOSURE, dressed=False, neighbour=False)


# ---------------------------------------------------------------- geometry
def test_the_centre_of_a_blob_is_found_between_pixels() -> None:
    rows, columns = np.mgrid[:60, :50]
    blob = np.exp(-((columns - 20.3) ** 2 + (rows - 31.6) ** 2) / 18).astype(np.float32)
    centre = soft_argmax(blob, (22.0, 30.0), 6.0)
    assert centre.point == pytest.approx((20.3, 31.6), abs=0.5)  # the Gaussian round the guess pulls a little
    exact = soft_argmax(blob, (20.3, 31.6), 6.0)
    assert exact.point == pytest.approx((20.3, 31.6), abs=0.1)
    assert exact.confidence == pytest.approx(1.0, abs=0.03)


def test_a_place_off_the_map_has_no_confidence() -> None:
    assert soft_argmax(np.ones((10, 10), np.float32), (-3.0, 4.0), 2.0).confidence == 0
    assert soft_argmax(np.ones((10, 10), np.float32), (40.0, 4.0), 2.0).confidence == 0


def test_peaks_come_highest_first_and_nothing_below_the_floor() -> None:
    maps = np.zeros((1, 40, 40), np.float32)
    maps[0, 10, 10], maps[0, 30, 20], maps[0, 5, 35] = 0.4, 0.9, 0.01
    found = peaks(maps)
    assert found.points[0, 0] == pytest.approx((20, 30), abs=0.2)
    assert found.points[0, 1] == pytest.approx((10, 10), abs=0.2)
    assert found.scores[0, 2] == 0


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


@pytest.mark.parametrize(("turns", "mirrored"), ORIENTATIONS)
def test_what_a_canvas_says_of_the_pose_is_carried_over_to_the_picture(turns: int, mirrored: bool) -> None:
    seen = np.zeros(OTHER_POSE + 1, np.float32)
    seen[POSES.index(("hand", False, 0))] = 0.75  # it stands upright on the window, so it lies as the window says
    seen[OTHER_POSE] = 0.25
    there = _on_picture(seen, turns, mirrored)
    assert there[POSES.index(("hand", mirrored, turns))] == 0.75
    assert there[OTHER_POSE] == 0.25
    assert there.sum() == pytest.approx(1.0)


def test_a_pose_on_a_turned_canvas_adds_to_the_canvas_s_own() -> None:
    seen = np.zeros(OTHER_POSE + 1, np.float32)
    seen[POSES.index(("foot", False, 1))] = 1.0
    assert _on_picture(seen, 2, False)[POSES.index(("foot", False, 3))] == 1.0
    assert _on_picture(seen, 2, True)[POSES.index(("foot", True, 1))] == 1.0


def test_borders_of_one_grey_are_left_out() -> None:
    picture = np.full((400, 300), 255, np.float32)
    picture[40:380, 30:270] = np.random.default_rng(0).random((340, 240)) * 200
    left, top, right, bottom = content(Pyramid.of(picture))
    assert (left, top, right, bottom) == pytest.approx((30, 40, 270, 380), abs=2)


def test_an_empty_picture_is_looked_at_whole() -> None:
    assert content(Pyramid.of(np.zeros((400, 300), np.float32))) == (0, 0, 300, 400)


def test_what_a_picture_shows_is_said_in_words() -> None:
    assert Sight("hand", "lateral", 0.9).words == "a lateral view of a hand"
    assert Sight("foot", "dp", 0.9).words == "a dorsoplantar view of a foot"
    assert Sight("other", "", 0.9).words == "neither a hand nor a foot"


# ---------------------------------------------------------------- with the shipped network
@pytest.mark.parametrize(
    ("part", "side", "turns"),
    [("hand", "L", 0), ("hand", "R", 0), ("hand", "L", 1), ("hand", "R", 2), ("foot", "L", 0), ("foot", "R", 3)],
)
def test_part_side_and_turn_are_found_from_the_picture(finder: Finder, part: Part, side: str, turns: int) -> None:
    made = simulated(part, side, turns)
    limbs = finder.find(made.image).limbs
    assert [(limb.part, limb.side) for limb in limbs] == [(part, side)]
    assert limbs[0].view == ("pa" if part == "hand" else "dp")
    errors = [np.hypot(*(np.array(centre.point) - made.sites[name])) / 450 for name, centre in limbs[0].centres.items()]
    assert len(errors) >= 0.8 * len(made.sites)
    assert np.median(errors) < 0.02


def test_two_hands_on_one_film_are_two_limbs(finder: Finder) -> None:
    image, films = two_hands((700, 1100), np.random.default_rng(5), severity=0.0)
    limbs = finder.find(image).limbs
    assert sorted(limb.side for limb in limbs) == ["L", "R"]
    for made in films:
        limb = next(limb for limb in limbs if limb.side == made.side)
        errors = [np.hypot(*(np.array(c.point) - made.sites[n])) / limb.length for n, c in limb.centres.items()]
        assert np.median(errors) < 0.02


def test_what_is_no_hand_and_no_foot_is_not_taken_for_one(finder: Finder, shared_data: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.random((400, 300)), np.zeros((400, 300)), np.tile(np.linspace(0, 1, 300), (400, 1))]
    folder = shared_data / "xray" / "hip-ddh-dicom"
    for path in sorted(folder.glob("*.dcm"))[:3]:
        pixels = pydicom.dcmread(path).pixel_array
        pictures.append(pixels.mean(axis=-1) if pixels.ndim == 3 else pixels)
    for picture in pictures:
        assert finder.find(picture.astype(np.float32)).limbs == ()


def test_left_and_right_of_real_hands_are_told_apart(finder: Finder, shared_data: Path) -> None:
    for path in sorted((shared_data / "xray" / "hand-joints-rsna").glob("*.png")):
        with Pillow.open(path) as image:
            limbs = finder.find(np.asarray(image.convert("L"), np.float32)).limbs
        assert [(limb.part, limb.side) for limb in limbs] == [("hand", path.stem[-1])], path.name


@pytest.mark.parametrize("part", ["hand", "foot"])
def test_a_limb_on_which_bone_is_dark_is_found_with_the_grey_values_turned_round(finder: Finder, part: Part) -> None:
    made = simulated(part, "L", seed=2)
    found = finder.find(1 - made.image)
    assert found.inverted
    assert [(limb.part, limb.side) for limb in found.limbs] == [(part, "L")]
    assert not finder.find(made.image).inverted


@pytest.mark.parametrize(
    ("name", "part", "view"),
    [
        ("haggstrom_hand_lateral.jpg", "hand", "lateral"),
        ("haggstrom_foot_lateral.jpg", "foot", "lateral"),
        ("haggstrom_knee_ap.jpg", "other", ""),
        ("haggstrom_wrist_lateral.jpg", "other", ""),
    ],
)
def test_a_picture_that_is_not_read_is_named(
    finder: Finder, shared_data: Path, name: str, part: str, view: str
) -> None:
    with Pillow.open(shared_data / "xray" / "limbs-adult-commons" / name) as image:
        found = finder.find(np.asarray(image.convert("L"), np.float32))
    assert found.limbs == ()
    assert (found.sight.part, found.sight.view) == (part, view)


def test_the_severe_rheumatoid_hand_is_found_with_its_side(finder: Finder, shared_data: Path) -> None:
    path = shared_data / "xray" / "limbs-adult-commons" / "braegelmann_ra_hand_severe_pa.jpg"
    with Pillow.open(path) as image:
        limbs = finder.find(np.asarray(image.convert("L"), np.float32)).limbs
    assert [(limb.part, limb.side, limb.view) for limb in limbs] == [("hand", "R", "pa")]
    assert limbs[0].view_confidence >= MIN_VIEW_CONFIDENCE
