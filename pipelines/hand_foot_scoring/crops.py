"""Crops round single joints, cut from a picture as the damage network takes them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from pipelines.hand_foot_scoring.localise import Image, Limb, Pyramid, Window

CROP = 64  # rows and columns of a crop
FIELD_MM = 24.0  # side of a crop on a mean adult limb; it grows and shrinks with the limb
WIDE_FIELD_MM = {"RAD": 38.0, "RADCARP": 38.0}  # the end of the radius is wider than a finger joint


def normalised(crop: Image) -> Image:
    """A crop (64, 64) without its slow changes, over its spread: -3 to 3 standard deviations become -1 to 1."""
    crop = crop - 0.8 * gaussian_filter(crop, 14.0, truncate=2)
    return np.asarray(np.clip((crop - crop.mean()) / (crop.std() + 1e-3), -3, 3) / 3, np.float32)


def field_mm(site: str) -> float:
    """Side of the crop of a site on the limb of a mean adult, in mm."""
    return WIDE_FIELD_MM.get(site, FIELD_MM)


def cut(pyramid: Pyramid, limb: Limb, site: str, point: tuple[float, float]) -> Image:
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

    Returns
    -------
    Image
        (64, 64) grey values.
    """
    return pyramid.sample(crop_window(limb, site, point), (CROP, CROP))


def crop_window(limb: Limb, site: str, point: tuple[float, float]) -> Window:
    """The affine map from pixels of a crop to pixels of the picture; parameters as for `cut`.

    Parameters
    ----------
    limb
        A limb on the picture.
    site
        Name of the site.
    point
        (column, row) of the middle of the crop, in pixels of the picture.
    """
    angle, scale, _ = limb.lie()
    step = field_mm(site) * scale / CROP
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = step * turn @ np.diag([-1.0 if limb.side == "R" else 1.0, 1.0])
    return Window(np.column_stack((linear, np.array(point) - linear @ np.full(2, (CROP - 1) / 2))))
