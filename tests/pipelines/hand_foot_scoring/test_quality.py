"""Pixels that cannot carry grades are told apart from those that can, and what is wrong with them is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from pipelines.hand_foot_scoring import crops, weights
from pipelines.hand_foot_scoring.centres import Centre
from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.quality import MAX_BLOCKS, Quality, lattice_step, quality
from pipelines.hand_foot_scoring.reading import Reader
from pipelines.hand_foot_scoring.scoring import NotScored, Reason
from pipelines.hand_foot_scoring.simulation.films import Film
from pipelines.hand_foot_scoring.simulation.processing import blurred, jpeg, posterised
from pipelines.hand_foot_scoring.simulation.sample import film_of
from pipelines.hand_foot_scoring.windows import Image, Pyramid, Window

GOOD = Quality(blocks=0.05, grain=0.06, specks=0.6, flat=0.01, blur_mm=0.3)


@pytest.fixture(scope="module")
def trained(networks: None) -> weights.Trained:
    return weights.load()


@pytest.fixture(scope="module")
def film() -> Film:
    """A hand of 430 pixels, grey values 0 to 1."""
    made = film_of("hand", "L", 21, severity=0.4, shape=(560, 460))
    low, high = float(made.image.min()), float(made.image.max())
    return replace(made, image=np.asarray((made.image - low) / (high - low), np.float32))


def limb_on(film: Film, trained: weights.Trained, scale: float = 1.0, shift: tuple[float, float] = (0, 0)) -> Limb:
    """The limb of a film that was resized and then cut off at the upper left."""
    sites = {name: (x * scale - shift[0], y * scale - shift[1]) for name, (x, y) in film.sites.items()}
    centres = {name: Centre(point, 1.0) for name, point in sites.items()}
    length = 0.77 * film.image.shape[0] * scale
    return Limb("hand", "L", 0, Window(np.eye(2, 3)), centres, sites, length, 1.0, 0.0, trained.shapes["hand"])


def measured(image: Image, limb: Limb) -> Quality:
    pyramid = Pyramid.of(np.ascontiguousarray(image, np.float32))
    cuts = [crops.cut(pyramid, limb, name, centre.point) for name, centre in limb.centres.items()]
    return quality(pyramid.levels[0][1], limb.box, np.stack(cuts))


def resized(image: Image, scale: float) -> Image:
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.BICUBIC), np.float32)


def noisy(image: Image, spread: float) -> Image:
    return np.asarray(image + spread * np.random.default_rng(0).standard_normal(image.shape), np.float32)


def specked(image: Image) -> Image:
    draw = np.random.default_rng(0).random(image.shape)
    return np.asarray(np.where(draw < 0.005, 0, np.where(draw > 0.995, 1, image)), np.float32)


def as_small_as(image: Image, scale: float, kind: Pillow.Resampling) -> Image:
    """A picture made smaller and enlarged again."""
    height, width = image.shape
    small = Pillow.fromarray(image).resize((round(width * scale), round(height * scale)), Pillow.Resampling.BOX)
    return np.asarray(small.resize((width, height), kind), np.float32)


SPOILT: dict[str, tuple[Callable[[Image], Image], Reason]] = {
    "JPEG quality 3": (lambda image: jpeg(image, 3), Reason.BLOCKS),
    "JPEG quality 10": (lambda image: jpeg(image, 10), Reason.BLOCKS),
    "JPEG quality 10, stored again at 90": (lambda image: jpeg(jpeg(image, 10), 90), Reason.BLOCKS),
    "JPEG quality 10, a little blurred": (lambda image: blurred(jpeg(image, 10), 0.3), Reason.BLOCKS),
    "enlarged without smoothing": (lambda image: as_small_as(image, 0.2, Pillow.Resampling.NEAREST), Reason.BLOCKS),
    "noise of a twelfth of the range": (lambda image: noisy(image, 0.08), Reason.NOISE),
    "coarse grain": (lambda image: image + blurred(noisy(0 * image, 0.2), 1.2), Reason.NOISE),
    "specks": (specked, Reason.NOISE),
    "2 grey levels": (lambda image: posterised(image, 2), Reason.GREY_LEVELS),
    "3 grey levels": (lambda image: posterised(image, 3), Reason.GREY_LEVELS),
    "bone saturated": (lambda image: np.minimum(image, 0.4), Reason.GREY_LEVELS),
    "5 grey levels": (lambda image: posterised(image, 5), Reason.GREY_LEVELS),
    "8 grey levels": (lambda image: posterised(image, 8), Reason.GREY_LEVELS),
    "blurred by 0.8 mm": (lambda image: blurred(image, 1.8), Reason.BLUR),
    "enlarged from a limb of 100 pixels": (
        lambda image: as_small_as(image, 0.23, Pillow.Resampling.BICUBIC),
        Reason.BLUR,
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_spoils_a_picture_is_named(film: Film, trained: weights.Trained, name: str) -> None:
    change, reason = SPOILT[name]
    found = measured(change(film.image), limb_on(film, trained))
    assert found.problem is reason
    assert found.words.startswith(reason.value)


HARMLESS: dict[str, Callable[[Image], Image]] = {
    "as it is": lambda image: image,
    "JPEG quality 70": lambda image: jpeg(image, 70),
    "a little noise": lambda image: noisy(image, 0.015),
    "the brightest bone saturated": lambda image: np.minimum(image, 0.8),
    "64 grey levels": lambda image: posterised(image, 64),
    "a fifth of the contrast": lambda image: posterised(0.4 + 0.2 * image, 256),
    "blurred by 0.3 mm": lambda image: blurred(image, 0.7),
    "darker": lambda image: np.asarray(image**2, np.float32),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_not_spoil_a_picture_is_let_pass(film: Film, trained: weights.Trained, name: str) -> None:
    found = measured(HARMLESS[name](film.image), limb_on(film, trained))
    assert found.problem is None
    assert found.words == ""


def test_few_grey_levels_that_are_dithered_do_no_harm(film: Film, trained: weights.Trained) -> None:
    steps = np.linspace(0, 1, 14)
    plain = posterised(film.image, 14)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, film.image.shape) / 13
    dithered = posterised(np.asarray(film.image + noise, np.float32), 14)
    limb = limb_on(film, trained)
    assert len(np.unique(dithered)) <= len(steps)
    assert measured(dithered, limb).flat < 0.5 * measured(plain, limb).flat


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.3])
@pytest.mark.parametrize("shift", [(0, 0), (3, 5)])
def test_blocks_are_found_wherever_they_lie_and_after_resizing(
    film: Film, trained: weights.Trained, scale: float, shift: tuple[int, int]
) -> None:
    image = resized(jpeg(film.image, 5), scale)[shift[1] :, shift[0] :]
    limb = limb_on(film, trained, scale, shift)
    assert measured(image, limb).problem is Reason.BLOCKS
    assert measured(resized(film.image, scale)[shift[1] :, shift[0] :], limb).blocks < MAX_BLOCKS / 2


def test_the_height_of_a_lattice_is_that_of_its_steps() -> None:
    rng = np.random.default_rng(0)
    profiles = [1 + 0.02 * rng.standard_normal(size) for size in (700, 500)]
    assert lattice_step(profiles) < 0.05
    for profile, start in zip(profiles, (3, 6), strict=True):
        profile[start::8] += 0.7
    assert lattice_step(profiles) == pytest.approx(0.7, rel=0.1)


def test_lines_in_one_direction_are_an_anti_scatter_grid_and_no_blocks() -> None:
    rng = np.random.default_rng(0)
    rows, columns = (1 + 0.02 * rng.standard_normal(size) for size in (700, 500))
    rows[::8] += 0.7
    assert lattice_step([rows, columns]) < 0.2 * 0.7


def test_a_picture_too_small_to_show_a_lattice_shows_none() -> None:
    assert lattice_step([np.tile([0, 0, 0, 0, 0, 0, 0, 1.0], 8)] * 2) == 0


def test_of_two_things_that_are_wrong_the_graver_is_named() -> None:
    """Blocks are flat and heavy compression blurs: what made them is named, not what they look like."""
    assert GOOD.problem is None
    assert replace(GOOD, blocks=0.3, flat=0.6, blur_mm=0.9).problem is Reason.BLOCKS
    assert replace(GOOD, flat=0.6, specks=2.0).problem is Reason.GREY_LEVELS


def test_how_fine_the_detail_of_a_blurred_picture_is_stands_in_its_words() -> None:
    assert replace(GOOD, blur_mm=0.8).words.endswith("(none finer than 1.9 mm)")  # 0.8 mm times 2 sqrt(2 ln 2)


def test_a_spoilt_limb_has_the_reason_in_every_cell(film: Film, trained: weights.Trained) -> None:
    limb = limb_on(film, trained)
    reader = Reader(trained)
    good, spoilt = (reader.read_limb(Pyramid.of(image), limb) for image in (film.image, jpeg(film.image, 5)))
    assert good.poor is None
    assert not any(isinstance(r, NotScored) and r.reason is Reason.BLOCKS for r in good.cells.values())
    assert spoilt.poor is Reason.BLOCKS
    assert spoilt.cells.keys() == good.cells.keys()
    assert set(spoilt.cells.values()) == {NotScored(Reason.BLOCKS)}
