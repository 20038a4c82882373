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
from pipelines.hand_foot_scoring.localise import Finder
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
