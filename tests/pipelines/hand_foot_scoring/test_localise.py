"""From class maps and pictures to limbs, with the networks that are shipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from numpy.typing import NDArray
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


# ---------------------------------------------------------------- more than one limb
def commons(shared_data: Path, name: str, height: int = 900) -> NDArray[np.float32]:
    """A film of an adult, averaged down to so many rows."""
    with Pillow.open(shared_data / "xray" / "limbs-adult-commons" / name) as image:
        grey = image.convert("L").resize((round(image.width * height / image.height), height), Pillow.Resampling.BOX)
    return np.asarray(grey, np.float32)


def test_a_limb_alone_has_nothing_beside_it(finder: Finder, shared_data: Path) -> None:
    for name in ("haggstrom_hand_pa.jpg", "haggstrom_hand_oblique.jpg", "haggstrom_foot_dp.jpg"):
        assert not finder.find(commons(shared_data, name)).unread, name
    leg = shared_data / "xray" / "limbs-fracatlas" / "fracatlas_IMG0000182_foot_dp_R.jpg"
    with Pillow.open(leg) as image:
        found = finder.find(np.asarray(image.reduce(3), np.float32))
    assert len(found.limbs) == 1
    assert not found.unread, "the leg is not another limb"


def test_two_feet_that_touch_are_two_limbs(finder: Finder, shared_data: Path) -> None:
    foot = commons(shared_data, "haggstrom_foot_dp.jpg")
    found = finder.find(np.concatenate((foot, foot[:, ::-1]), axis=1))
    assert sorted((limb.part, limb.side, limb.view) for limb in found.limbs) == [
        ("foot", "L", "dp"),
        ("foot", "R", "dp"),
    ]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("haggstrom_hand_pa.jpg", "haggstrom_hand_lateral.jpg", "a lateral view of a hand"),
        ("haggstrom_foot_dp.jpg", "haggstrom_foot_lateral.jpg", "a lateral view of a foot"),
    ],
)
def test_another_view_beside_a_limb_is_told_of(
    finder: Finder, shared_data: Path, first: str, second: str, words: str
) -> None:
    pictures = [commons(shared_data, first), commons(shared_data, second, 630)]
    pictures[1] = np.pad(pictures[1], ((270, 0), (0, 0)))
    for beside in (pictures, pictures[::-1]):
        found = finder.find(np.concatenate(beside, axis=1))
        assert len(found.limbs) == 1
        assert [sight.words for sight in found.unread] == [words]


def test_what_touches_a_second_limb_is_told_of_too(finder: Finder, shared_data: Path) -> None:
    views = [commons(shared_data, f"haggstrom_hand_{view}.jpg", 1400) for view in ("pa", "oblique", "lateral")]
    found = finder.find(np.concatenate(views, axis=1))
    assert [limb.view for limb in found.limbs] == ["pa", "oblique"]
    assert [sight.words for sight in found.unread] == ["a lateral view of a hand"]


def test_a_severe_hand_beside_a_healthy_one_is_not_left_out_in_silence(finder: Finder, shared_data: Path) -> None:
    severe, healthy = (
        commons(shared_data, name) for name in ("braegelmann_ra_hand_severe_pa.jpg", "haggstrom_hand_pa.jpg")
    )
    found = finder.find(np.concatenate((severe, healthy), axis=1))
    assert ("hand", "L") in [(limb.part, limb.side) for limb in found.limbs]
    assert len(found.limbs) + len(found.unread) == 2
