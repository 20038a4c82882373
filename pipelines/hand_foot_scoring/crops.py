"""Crops round single joints, cut from a picture as the damage network takes them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.windows import Image, Pyramid, Window

CROP = 64  # rows and columns of a crop
FIELD_MM = 24.0  # side of a crop on a mean adult limb; it grows and shrinks with the limb
WIDE_FIELD_MM = {"RAD": 38.0, "RADCARP": 38.0}  # the end of the radius is wider than a finger joint
MIDDLE_MM = 18.0  # diameter of the disc in the middle of a crop that holds what is graded, on a mean adult limb
WIDE_MIDDLE_MM = {"RAD": 28.5}  # of the radiocarpal joint the space alone is graded


def normalised(crop: NDArray[Any]) -> Image:
    """Crops (..., 64, 64) without their slow changes, over their spread: -3 to 3 standard deviations become -1 to 1."""
    image: Image = np.asarray(crop, np.float32)
    smooth = smoothing(image.shape[-1], 14.0)
    fine = image - np.float32(0.8) * (smooth @ image @ smooth.T)
    mean, spread = fine.mean(axis=(-2, -1), keepdims=True), fine.std(axis=(-2, -1), keepdims=True)
    return np.asarray(np.clip((fine - mean) / (spread + 1e-3), -3, 3) / 3, np.float32)


@cache
def smoothing(size: int, spread: float) -> NDArray[np.float32]:
    """The matrix (size, size) that smooths a column by a Gaussian of `spread` pixels; its transpose smooths a row."""
    return np.asarray(gaussian_filter1d(np.eye(size), spread, axis=0, truncate=2), np.float32)


def field_mm(site: str) -> float:
    """Side of the crop of a site on the limb of a mean adult, in mm."""
    return WIDE_FIELD_MM.get(site, FIELD_MM)


def cut(pyramid: Pyramid, limb: Limb, site: str, point: tuple[float, float], margin: int = 0) -> Image:
    """Cut the crop of a joint, turned as the limb stands upright.

    Parameters
    ----------
    pyramid
        The picture.
    limb
        A limb on it.
    site
        Name of the site; it decides the size of the crop.
    point
        (column, row) of the middle of the crop, in pixels of the picture.
    margin
        Rows and columns beyond the crop on every side; training moves and turns crops within it.

    Returns
    -------
    Image
        (64 + 2 margin, 64 + 2 margin) grey values.
    """
    size = CROP + 2 * margin
    return pyramid.sample(crop_window(limb, site, point, size), (size, size))


def share_outside(limb: Limb, site: str, point: tuple[float, float], shape: tuple[int, int]) -> float:
    """How much of the disc in the middle of a crop lies outside of a picture, 0..1; its corners do not count.

    Parameters
    ----------
    limb
        The limb.
    site
        Name of the site.
    point
        (column, row) of the middle of the crop, in pixels of the picture.
    shape
        Rows and columns of the picture.
    """
    disc = _disc(WIDE_MIDDLE_MM.get(site, MIDDLE_MM) / field_mm(site) * CROP)
    x, y = crop_window(limb, site, point).to_picture(disc).T
    inside = (x > -0.5) & (x < shape[1] - 0.5) & (y > -0.5) & (y < shape[0] - 0.5)
    return 1 - float(inside.mean())


@cache
def _disc(diameter: float) -> NDArray[np.float64]:
    """The pixels (N, 2) of a crop that lie in a disc in its middle, `diameter` pixels wide: column and row."""
    columns, rows = np.meshgrid(np.arange(CROP), np.arange(CROP))
    grid = np.column_stack((columns.ravel(), rows.ravel())).astype(np.float64)
    return np.asarray(grid[np.hypot(*(grid - (CROP - 1) / 2).T) < diameter / 2])


def crop_window(limb: Limb, site: str, point: tuple[float, float], size: int = CROP) -> Window:
    """The affine map from pixels of a crop to pixels of the picture; parameters as for `cut`.

    Parameters
    ----------
    limb
        A limb on the picture.
    site
        Name of the site.
    point
        (column, row) of the middle of the crop, in pixels of the picture.
    size
        Rows and columns of the crop.
    """
    angle, scale, _ = limb.lie()
    step = field_mm(site) * scale / CROP
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = step * turn @ np.diag([-1.0 if limb.side == "R" else 1.0, 1.0])
    return Window(np.column_stack((linear, np.array(point) - linear @ np.full(2, (size - 1) / 2))))
