"""The class mask that the localiser learns: which pixel belongs to which site."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

BACKGROUND, IGNORED = 0, 255
INNER, OUTER = 0.02, 0.04  # r and R as shares of the picture's height


def class_mask(
    centres: Mapping[int, tuple[float, float]], shape: tuple[int, int], inner: float, outer: float
) -> NDArray[np.uint8]:
    """The mask that the localiser learns.

    A pixel within `inner` (r) of the nearest centre has that centre's class, one farther than `outer` (R) is
    background, and one between the two is ignored (Maziarz 2021; r <= R).

    Parameters
    ----------
    centres
        Class to (column, row) in pixels of the mask.
    shape
        Rows and columns of the mask.
    inner, outer
        r and R in pixels of the mask.

    Returns
    -------
    (H, W) uint8 of classes, 0 for background, 255 for ignored.

    Raises
    ------
    ValueError
        If r is larger than R.
    """
    if inner > outer:
        raise ValueError(f"r = {inner} is larger than R = {outer}")
    mask = np.full(shape, BACKGROUND, np.uint8)
    if not centres:
        return mask
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    classes = np.array(list(centres), np.uint8)
    points = np.array([centres[c] for c in classes])
    squared = (columns[..., None] - points[:, 0]) ** 2 + (rows[..., None] - points[:, 1]) ** 2
    nearest = np.argmin(squared, axis=-1)
    distance = np.sqrt(np.take_along_axis(squared, nearest[..., None], axis=-1))[..., 0]
    mask[distance <= outer] = IGNORED
    mask[distance <= inner] = classes[nearest][distance <= inner]
    return mask
