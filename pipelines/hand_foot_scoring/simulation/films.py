"""Simulated films: limbs on a detector with markers, collimation and neighbours, and the exact truth of every site.

Nothing here comes from a patient. The films are varied far beyond what radiographs look like (domain randomisation), so
that what is learned on them has a chance on real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, zoom

from pipelines.hand_foot_scoring.simulation import drawn_postures
from pipelines.hand_foot_scoring.simulation.disease import random_disease
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.other_parts import REACH_MM as OTHER_REACH_MM
from pipelines.hand_foot_scoring.simulation.other_parts import other_part
from pipelines.hand_foot_scoring.simulation.radiograph import (
    Exposure,
    Image,
    View,
    expose,
    path_lengths,
    random_exposure,
)
from pipelines.hand_foot_scoring.simulation.severe import severe_hand
from pipelines.hand_foot_scoring.simulation.skeleton import Plate, Skeleton, State
from pipelines.hand_foot_scoring.sites import REACH_MM, Part, Side

FILM_MIDDLE_MM = {"hand": (2.0, -62.0), "foot": (-6.0, -32.0)}  # what is put at the middle of the film
SIDEWAYS_MM = {"hand": (0.0, -62.0), "foot": (8.0, -5.0)}  # the same of an oblique or lateral view
CUT = 0.12  # share of the films on which the limb lies so far off the middle that the edge may cut off fingers
CHILD_YEARS = 16.0  # below it a patient is a child
# below it a child is small; share of the children who are drawn from the small ones, which look least like an adult
SMALL_YEARS, SMALL_SHARE = 4.0, 0.35
CURLED = 0.6  # share of the small children's limbs that do not lie still
SEVERE = 0.6  # share of the ill hands with severe deformity: our choice, far more than in a clinic
DEFORMED = 0.75  # and of the other ill limbs with a milder one


@dataclass(frozen=True)
class Film:
    """One limb on one film. Coordinates are (column, row), the centre of the upper left pixel at (0, 0)."""

    image: Image  # (H, W), bone bright, about 0..1
    pixel_mm: float
    part: Part | Literal["other"]
    side: Side
    quarter_turns: int  # clockwise, 0: fingers up
    sites: Mapping[str, tuple[float, float]]
    states: Mapping[str, State]
    erosion: Mapping[str, int]
    narrowing: Mapping[str, int]
    open_plates: bool = False
    view: Literal["pa", "oblique", "lateral"] = "pa"  # "pa" of a foot is dorsoplantar
    length: float = 0.0  # pixels of the limb, as in `REACH_MM`; 0 where it is not known


def random_age(rng: np.random.Generator, children: float) -> float | None:
    """Years, or None for an adult; `children` is the share of children."""
    return child_age(rng) if rng.random() < children else None


def child_age(rng: np.random.Generator) -> float:
    """Years of a child; small ones come up more often than by their number."""
    return float(rng.uniform(0.0, SMALL_YEARS if rng.random() < SMALL_SHARE else CHILD_YEARS))


def random_limb(part: Part, rng: np.random.Generator, children: float = 0.0, diseased: float = 0.5) -> Skeleton:
    """A hand or foot of random build; more than half of the ill hands are deformed severely, most of the others less.

    Parameters
    ----------
    part
        Hand or foot.
    rng
        Draws it.
    children
        Share of children.
    diseased
        Share of the adults who are diseased.
    """
    age = random_age(rng, children)
    ill = age is None and rng.random() < diseased
    severe = ill and part == "hand" and rng.random() < SEVERE
    severity = 0.9 if severe else float(rng.choice([0.15, 0.4, 0.9]))
    disease = random_disease(part, rng, severity) if ill else None
    skeleton = (hand if part == "hand" else foot)(rng, disease, age)
    if age is not None and age < SMALL_YEARS and rng.random() < CURLED:
        skeleton = drawn_postures.curled_child(skeleton, rng)
    if severe:
        skeleton = severe_hand(skeleton, rng)
    elif ill and rng.random() < DEFORMED:
        skeleton = (drawn_postures.deformed_hand if part == "hand" else drawn_postures.clawed_foot)(skeleton, rng)
    if age is None and rng.random() < 0.06:
        skeleton = _with_hardware(skeleton, rng)
    return skeleton


def _with_hardware(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """Plates, wires, rings and bracelets anywhere on a limb."""
    s = skeleton.scale
    points = list(skeleton.sites.values())
    objects = []
    for _ in range(int(rng.integers(1, 5))):
        x, y = points[int(rng.integers(len(points)))]
        centre = (x + float(rng.normal(0, 8)) * s, y + float(rng.normal(0, 12)) * s)
        half = (float(rng.uniform(0.7, 6)) * s, float(rng.uniform(4, 32)) * s)
        objects.append(Plate(centre, half, float(rng.normal(0, 0.5)), float(rng.uniform(6, 30))))
    return replace(skeleton, objects=(*skeleton.objects, *objects))


def random_view(
    skeleton: Skeleton,
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    turns: int = 0,
    side: Side = "L",
    middle_mm: tuple[float, float] | None = None,
) -> View:
    """How a limb lies on the film: it fills 27 to 98 % of it, mostly more than half, turned by up to about 45 degrees.

    Parameters
    ----------
    skeleton
        The limb.
    shape
        Rows and columns of the film.
    rng
        Draws place and turn.
    turns
        Quarter turns clockwise besides.
    side
        A right limb lies mirrored.
    middle_mm
        What is put more or less at the middle of the film, mm of a mean adult; `FILM_MIDDLE_MM` if None.
    """
    height, width = shape if turns % 2 == 0 else shape[::-1]
    reach = REACH_MM[skeleton.part] * skeleton.scale
    fill = rng.uniform(0.5, 0.98) if rng.random() < 0.7 else rng.uniform(0.27, 0.6)
    pixel_mm = reach / (fill * min(height, 1.3 * width))
    turn = float(np.clip(rng.normal(0, 0.2 if rng.random() < 0.75 else 0.5), -0.8, 0.8)) + turns * np.pi / 2
    view = View(shape, pixel_mm, turn, (0.0, 0.0), side == "R")
    middle = view.to_pixels(np.array([middle_mm or FILM_MIDDLE_MM[skeleton.part]]) * skeleton.scale)[0]
    free = max(0.0, 1 - fill)
    aim = np.array([shape[1], shape[0]]) / 2 * (1 + rng.uniform(-1, 1, 2) * (0.08 + 0.8 * free))
    if rng.random() < CUT:
        aim = aim + rng.uniform(-0.22, 0.22, 2) * np.array([shape[1], shape[0]])
    return replace(view, origin=(float(aim[0] - middle[0]), float(aim[1] - middle[1])))


def close_view(skeleton: Skeleton, shape: tuple[int, int], rng: np.random.Generator, fill: float) -> View:
    """How a limb lies on a window that was put round it: upright, in the middle, more or less.

    Parameters
    ----------
    skeleton
        The limb; it lies as a left one.
    shape
        Rows and columns of the window.
    rng
        Draws what is left of turn and shift.
    fill
        Share of the window's height that the limb fills.
    """
    pixel_mm = REACH_MM[skeleton.part] * skeleton.scale / (fill * shape[0])
    view = View(shape, pixel_mm, float(rng.normal(0, 0.1)))
    middle = view.to_pixels(np.array([FILM_MIDDLE_MM[skeleton.part]]) * skeleton.scale)[0]
    aim = np.array([shape[1], shape[0]]) * (0.5 + rng.normal(0, 0.03, 2))
    return replace(view, origin=(float(aim[0] - middle[0]), float(aim[1] - middle[1])))


def film(
    skeleton: Skeleton,
    view: View,
    rng: np.random.Generator,
    exposure: Exposure | None = None,
    *,
    dressed: bool = True,
    neighbour: bool = True,
) -> Film:
    """Expose a limb.

    Parameters
    ----------
    skeleton
        The limb.
    view
        How it lies on the film.
    rng
        Draws everything else.
    exposure
        Random if None.
    dressed
        Whether markers, shutters and stray objects may be on the film.
    neighbour
        Whether the edge of another limb may be on it.
    """
    image = expose(skeleton, view, exposure or random_exposure(rng), rng)
    names = list(skeleton.sites)
    pixels = view.to_pixels(np.array([skeleton.sites[name] for name in names]))
    states = dict(skeleton.states)
    if neighbour and rng.random() < 0.12:
        image = _with_neighbour(image, view, rng)
    hidden = np.zeros(view.shape, bool)
    if dressed:
        if rng.random() < 0.05:
            image, hidden = _with_cast(image, pixels, view, rng)
        image = _dressed(image, rng)
    image, open_field = (
        _collimated(image, rng) if dressed and rng.random() < 0.35 else (image, ~np.zeros(view.shape, bool))
    )
    for name, (x, y) in zip(names, pixels, strict=True):
        column, row = round(float(x)), round(float(y))
        inside = 1 <= column < view.shape[1] - 1 and 1 <= row < view.shape[0] - 1
        if not inside or not open_field[row, column]:
            states[name] = "absent"
        elif hidden[row, column] and states[name] == "evaluable":
            states[name] = "covered"
    turns = round(view.rotation / (np.pi / 2)) % 4
    return Film(
        np.asarray(image, np.float32),
        view.pixel_mm,
        skeleton.part,
        "R" if view.mirrored else "L",
        turns,
        {name: (float(x), float(y)) for name, (x, y) in zip(names, pixels, strict=True)},
        states,
        skeleton.erosion,
        skeleton.narrowing,
        skeleton.open_plates,
        length=REACH_MM[skeleton.part] * skeleton.scale / view.pixel_mm,
    )


def view_film(
    part: Part, seen: Literal["oblique", "lateral"], shape: tuple[int, int], rng: np.random.Generator
) -> Film:
    """A limb from the side, more or less; its sites are not said.

    Parameters
    ----------
    part
        Hand or foot.
    seen
        How it lies.
    shape
        Rows and columns of the film.
    rng
        Draws everything.
    """
    skeleton = random_limb(part, rng, children=0.15, diseased=0.2)
    skeleton = (drawn_postures.oblique if seen == "oblique" else drawn_postures.lateral)(skeleton, rng)
    middle = SIDEWAYS_MM[part]
    if seen == "lateral":  # the hand's or foot's own x is its depth now
        middle = (float(np.mean([x for x, _ in skeleton.sites.values()])) / skeleton.scale, middle[1])
    side: Side = "R" if rng.random() < 0.5 else "L"
    turns = int(rng.integers(4)) if rng.random() < 0.6 else 0
    view = random_view(skeleton, shape, rng, turns=turns, side=side, middle_mm=middle)
    made = film(skeleton, view, rng)
    return replace(made, sites={}, states={}, erosion={}, narrowing={}, view=seen)


def wrist_film(shape: tuple[int, int], rng: np.random.Generator) -> Film:
    """A wrist that fills the film: too little of the hand is on it for a score."""
    skeleton = random_limb("hand", rng, children=0.15)
    if rng.random() < 0.3:
        skeleton = (drawn_postures.oblique if rng.random() < 0.5 else drawn_postures.lateral)(skeleton, rng)
    reach = skeleton.scale * rng.uniform(60, 130)
    turn = rng.normal(0, 0.25) + rng.integers(4) * np.pi / 2
    view = View(shape, reach / shape[0], float(turn), (0.0, 0.0), bool(rng.random() < 0.5))
    low = 22 + 0.5 * max(0.0, reach / skeleton.scale - 70)
    middle = view.to_pixels(np.array([(rng.normal(0, 6), low + rng.uniform(-4, 25))]) * skeleton.scale)[0]
    view = replace(view, origin=(float(shape[1] / 2 - middle[0]), float(shape[0] / 2 - middle[1])))
    made = film(skeleton, view, rng)
    return replace(made, part="other", side="L", quarter_turns=0, sites={}, states={}, erosion={}, narrowing={})


def _with_neighbour(image: Image, view: View, rng: np.random.Generator) -> Image:
    """The other limb reaches into the film from the side."""
    other = random_limb("hand" if rng.random() < 0.7 else "foot", rng, 0.2)
    height, width = view.shape
    side = rng.choice([-1, 1])
    origin = (
        view.origin[0] + side * width * rng.uniform(0.75, 1.0),
        view.origin[1] + height * rng.uniform(-0.15, 0.15),
    )
    bone, tissue = path_lengths(other, replace(view, origin=origin, mirrored=not view.mirrored))
    extra = 0.055 * bone + 0.02 * tissue
    return np.asarray(image + extra / max(1.5, float(np.quantile(extra, 0.995))), np.float32)


def _with_cast(
    image: Image, pixels: NDArray[np.float64], view: View, rng: np.random.Generator
) -> tuple[Image, NDArray[np.bool_]]:
    """A plaster over part of the film: bright, coarse, with edges."""
    height, width = view.shape
    centre = pixels[int(rng.integers(len(pixels)))]
    angle, half = view.rotation + rng.normal(0, 0.2), rng.uniform(0.12, 0.3) * height
    rows, columns = np.mgrid[:height, :width]
    along = (rows - centre[1]) * np.cos(angle) - (columns - centre[0]) * np.sin(angle)
    hidden = np.abs(along) < half
    coarse = gaussian_filter(rng.standard_normal(view.shape).astype(np.float32), max(1.0, 0.006 * height))
    cover = rng.uniform(0.25, 0.6) * (1 + 1.5 * coarse / (coarse.std() + 1e-6) * 0.15)
    fade = rng.uniform(0.15, 0.5)
    return np.asarray(np.where(hidden, fade * image + cover, image), np.float32), hidden


def _dressed(image: Image, rng: np.random.Generator) -> Image:
    """Markers with letters, rectangles of another exposure, scratches, wires."""
    height, width = image.shape
    if rng.random() < 0.55:
        image = _marker(image, rng)
    if rng.random() < 0.25:  # a plate of another exposure, as phosphor plates and filters leave it
        row = int(rng.integers(0, height))
        column = int(rng.integers(0, width))
        image = image.copy()
        image[row : row + int(rng.integers(height // 8, height)), column:] += rng.normal(0, 0.2)
    if rng.random() < 0.1:
        column = int(rng.integers(0, width - 3))
        image = image.copy()
        image[:, column : column + max(1, width // 200)] += rng.normal(0, 0.15)
    return image


def _marker(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape
    size = max(7, int(height * rng.uniform(0.025, 0.07)))
    canvas = Pillow.new("F", (width, height))
    draw = ImageDraw.Draw(canvas)
    x = int(rng.choice([rng.uniform(0.01, 0.2), rng.uniform(0.75, 0.95)]) * width)
    y = int(rng.uniform(0.02, 0.9) * height)
    bright = rng.uniform(0.7, 1.2)
    if rng.random() < 0.4:
        draw.rectangle((x - size // 3, y - size // 3, x + 2 * size, y + 2 * size), fill=bright * 0.3)
    text = str(rng.choice(["L", "R", "PA", "AP", "JD", "7", "L KM", "R MT", "12.03"]))
    draw.text((x, y), text, fill=bright, font=ImageFont.load_default(size=size))
    if rng.random() < 0.3:  # a step wedge
        draw.rectangle((x, y + 2 * size, x + size, y + 6 * size), fill=bright * 0.6)
    return np.asarray(np.maximum(image, np.asarray(canvas)), np.float32)


def _collimated(image: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.bool_]]:
    """Shutters at some sides, black, white or unexposed grey."""
    height, width = image.shape
    field = np.zeros(image.shape, bool)
    margins = rng.uniform(0, 0.09, 4) * (rng.random(4) < 0.6)
    field[
        int(margins[0] * height) : height - int(margins[1] * height),
        int(margins[2] * width) : width - int(margins[3] * width),
    ] = True
    return np.where(field, image, np.float32(rng.choice([0.0, 0.0, 0.15, 1.1]))), field


# ---------------------------------------------------------------- what is no hand and no foot
def other_film(shape: tuple[int, int], rng: np.random.Generator) -> Film:
    """A body part without any site: knee, ankle, forearm, leg, pelvis, chest, or bones anyhow."""
    skeleton = other_part(rng)
    pixel_mm = OTHER_REACH_MM / shape[0] * float(rng.uniform(0.8, 1.5))
    view = View(shape, pixel_mm, rng.uniform(-np.pi, np.pi), (shape[1] / 2, shape[0] / 2))
    image = expose(skeleton, view, random_exposure(rng), rng)
    image = _dressed(image, rng)
    if rng.random() < 0.35:
        image, _ = _collimated(image, rng)
    return Film(image, view.pixel_mm, "other", "L", 0, {}, {}, {}, {})


# ---------------------------------------------------------------- what becomes of a film on its way
def weathered(image: Image, rng: np.random.Generator) -> Image:
    """A film after windowing, banding, a coarse detector or a small copy, logos and bright strips at its edge.

    Parameters
    ----------
    image
        (H, W), bone bright.
    rng
        Draws what happens.
    """
    height, width = image.shape
    if rng.random() < 0.3:  # a window that cuts off bright or dark
        low = np.quantile(image[::4, ::4], rng.uniform(0.0, 0.3))
        high = np.quantile(image[::4, ::4], rng.uniform(0.93, 1.0))
        image = np.clip((image - low) / max(float(high - low), 1e-3), 0, 1).astype(np.float32)
        image = image ** float(np.exp(rng.normal(0, 0.4)))
    if rng.random() < 0.15:  # columns of the detector
        columns = gaussian_filter(rng.standard_normal(width), rng.uniform(0.5, 4)).astype(np.float32)
        image = image + rng.uniform(0.005, 0.03) * columns / (columns.std() + 1e-6)
    if rng.random() < 0.15:  # a grey ground
        image = np.maximum(image, np.float32(0)) * np.float32(rng.uniform(0.4, 0.9)) + np.float32(rng.uniform(0.1, 0.4))
    if rng.random() < 0.3:  # a small copy
        factor = rng.uniform(1.2, 2.6)
        small = zoom(gaussian_filter(image, 0.4 * factor), 1 / factor, order=1)
        image = zoom(small, (height / small.shape[0], width / small.shape[1]), order=1)
    if rng.random() < 0.15:  # bright strips that belong to no field
        strip = max(1, int(rng.uniform(0.005, 0.12) * height))
        image = image.copy()
        edge = rng.integers(4)
        if edge < 2:
            image[(slice(0, strip) if edge else slice(height - strip, height)), :] = rng.uniform(0.8, 1.4)
        else:
            image[:, (slice(0, strip) if edge == 2 else slice(width - strip, width))] = rng.uniform(0.8, 1.4)
    if rng.random() < 0.12:
        image = _logo(image, rng)
    return np.asarray(image, np.float32)


def _logo(image: Image, rng: np.random.Generator) -> Image:
    """A bright box with something dark in it, or a clip of bright bars, as clinics burn or lay them in."""
    height, width = image.shape
    image = image.copy()
    for _ in range(int(rng.integers(1, 4))):
        h, w = int(rng.uniform(0.02, 0.12) * height), int(rng.uniform(0.02, 0.1) * height)
        row, column = (
            int(rng.uniform(0, height - h)),
            int(rng.choice([rng.uniform(0, 0.3), rng.uniform(0.65, 0.95)]) * width),
        )
        image[row : row + h, column : column + w] = rng.uniform(0.7, 1.3)
        inner = image[row + h // 4 : row + h - h // 4, column + w // 3 : column + w - w // 4]
        inner[...] = rng.uniform(0, 0.5)
    return image


def two_hands(
    shape: tuple[int, int], rng: np.random.Generator, severity: float = 0.4
) -> tuple[Image, tuple[Film, Film]]:
    """A left and a right hand side by side on one film.

    Parameters
    ----------
    shape
        Rows and columns of the film.
    rng
        Draws the hands.
    severity
        As in `random_disease`.

    Returns
    -------
    tuple
        The film, and each hand with its truth in the pixels of that film.
    """
    height, width = shape
    half = width // 2
    films = []
    exposure = random_exposure(rng)
    for side in ("L", "R"):
        skeleton = hand(rng, random_disease("hand", rng, severity), odd=False)
        pixel_mm = REACH_MM["hand"] * 1.25 * skeleton.scale / min(height, 1.3 * half)
        view = View((height, half), pixel_mm, float(rng.normal(0, 0.06)), (0.0, 0.0), side == "R")
        middle = view.to_pixels(np.array([FILM_MIDDLE_MM["hand"]]) * skeleton.scale)[0]
        view = replace(view, origin=(half / 2 - middle[0], height * 0.5 - middle[1]))
        films.append(film(skeleton, view, rng, exposure, dressed=False, neighbour=False))
    image = np.concatenate([films[0].image, films[1].image], axis=1)
    moved = replace(films[1], sites={name: (x + half, y) for name, (x, y) in films[1].sites.items()})
    return np.asarray(image, np.float32), (films[0], moved)
