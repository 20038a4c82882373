"""What lies on or in a real limb and is no bone: rings, implants, wires, plaster, painted into a film."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from pipelines.hand_foot_scoring.simulation.radiograph import Image
from pipelines.hand_foot_scoring.simulation.skeleton import Plate, Points


def with_plates(image: Image, plates: Sequence[Plate], pixel_mm: float, thickest_mm: float = 18.0) -> Image:
    """The film with bars of metal or silicone over it.

    Parameters
    ----------
    image
        (H, W) bone bright.
    plates
        Bars; their places in mm of the film.
    pixel_mm
        Size of a pixel.
    thickest_mm
        Thickness, in mm of bone, that lets nothing through.
    """
    top = float(np.quantile(image[::4, ::4], 0.998))
    x = np.arange(image.shape[1], dtype=np.float32)[None, :] * np.float32(pixel_mm)
    y = np.arange(image.shape[0], dtype=np.float32)[:, None] * np.float32(pixel_mm)
    for plate in plates:
        c, s = np.cos(plate.angle), np.sin(plate.angle)
        u = np.abs((x - plate.centre[0]) * c + (y - plate.centre[1]) * s)
        v = np.abs((y - plate.centre[1]) * c - (x - plate.centre[0]) * s)
        over = np.clip(np.minimum(plate.half[0] - u, plate.half[1] - v) / 0.4 + 0.5, 0, 1)
        dense = min(1.0, plate.thickness / thickest_mm)
        image = image + over * dense * (1.15 * top - image)
    return np.asarray(image, np.float32)


def ring(middle: Points, axis: Points, half_mm: float, rng: np.random.Generator) -> Plate:
    """A finger ring round a proximal phalanx.

    Parameters
    ----------
    middle
        (2,) of the bone, mm of the film.
    axis
        (2,) unit vector along the bone.
    half_mm
        Half the width of the finger.
    rng
        Draws width and metal.
    """
    angle = float(np.arctan2(axis[0], -axis[1]))
    return Plate(
        (float(middle[0]), float(middle[1])), (half_mm, float(rng.uniform(1.0, 3.0))), angle, float(rng.uniform(8, 25))
    )


def wire(start: Points, end: Points, rng: np.random.Generator) -> Plate:
    """A Kirschner wire between two points, mm of the film."""
    middle, away = (start + end) / 2, end - start
    return Plate(
        (float(middle[0]), float(middle[1])),
        (float(np.hypot(*away)) / 2, float(rng.uniform(0.4, 0.9))),
        float(np.arctan2(away[1], away[0])),
        25.0,
    )


def with_plaster(
    image: Image, middle: tuple[float, float], half: float, rng: np.random.Generator
) -> tuple[Image, float]:
    """A plaster across the film.

    Parameters
    ----------
    image
        (H, W) bone bright.
    middle
        (column, row) that it lies over.
    half
        Half its width, pixels.
    rng
        Draws direction and structure.

    Returns
    -------
    tuple
        The film, and the direction in radians: pixels whose distance from the line through the middle, along the
        normal (-sin, cos), is less than `half` are hidden.
    """
    angle = float(rng.normal(0, 0.25))
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    away = np.abs((rows - middle[1]) * np.cos(angle) - (columns - middle[0]) * np.sin(angle))
    hidden = np.clip((half - away) / 4 + 0.5, 0, 1)
    coarse = gaussian_filter(rng.standard_normal(image.shape).astype(np.float32), float(rng.uniform(2, 5)))
    cover = float(rng.uniform(0.3, 0.6)) * (1 + 0.2 * coarse / (coarse.std() + 1e-6))
    covered = float(rng.uniform(0.15, 0.5)) * image + cover
    return np.asarray(image + hidden * (covered - image), np.float32), angle
