"""Simulated films of a patient with their truth, for the demo, the tests and the benchmark; no torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from pipelines.hand_foot_scoring.simulation.disease import Disease, random_disease
from pipelines.hand_foot_scoring.simulation.films import FILM_MIDDLE_MM, Film, film
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.radiograph import Exposure, View
from pipelines.hand_foot_scoring.sites import REACH_MM, Part, Side

LIMBS: tuple[tuple[Part, Side], ...] = (("hand", "R"), ("hand", "L"), ("foot", "R"), ("foot", "L"))
FILL, DOWN = 0.77, 0.51  # of the film's height: length of the limb, and where its middle lies


def film_of(
    part: Part,
    side: Side,
    seed: int,
    severity: float = 0.5,
    age: float | None = None,
    shape: tuple[int, int] = (1100, 900),
    disease: Disease | None = None,
) -> Film:
    """A limb in the middle of a clean film.

    Parameters
    ----------
    part
        Hand or foot.
    side
        Left or right.
    seed
        Of the limb.
    severity
        As in `random_disease`; 0 draws a healthy limb.
    age
        Years; a child is drawn healthy. An adult if None.
    shape
        Rows and columns.
    disease
        The grades to draw, instead of random ones.
    """
    rng = np.random.default_rng(seed)
    drawn = random_disease(part, rng, severity) if severity and age is None else Disease()
    skeleton = (hand if part == "hand" else foot)(rng, drawn if disease is None else disease, age, odd=False)
    pixel_mm = REACH_MM[part] * skeleton.scale / (FILL * shape[0])
    view = View(shape, pixel_mm, float(rng.normal(0, 0.05)), (0.0, 0.0), side == "R")
    middle = view.to_pixels(np.array([FILM_MIDDLE_MM[part]]) * skeleton.scale)[0]
    view = replace(view, origin=(shape[1] / 2 - middle[0], DOWN * shape[0] - middle[1]))
    return film(skeleton, view, rng, Exposure(noise=0.006, gamma=0.8), dressed=False, neighbour=False)


def stored(picture: Film, label: str = "") -> NDArray[np.uint16]:
    """(H, W) values of 12 bits, bone bright, as a detector would store them; `label` is burned in at the lower left."""
    image = np.asarray(np.clip(picture.image * 3000 + 300, 0, 4095), np.uint16)
    if label:
        size = image.shape[0] // 40
        canvas = Pillow.new("L", (image.shape[1], image.shape[0]))
        font = ImageFont.load_default(size=size)
        ImageDraw.Draw(canvas).text((size // 2, image.shape[0] - 3 * size // 2), label, fill=255, font=font)
        image = np.maximum(image, np.asarray(canvas, np.uint16) * 14)
    return image
