"""From class maps to points: the peaks of a probability, and its centre of mass near a place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from pipelines.hand_foot_scoring import shape

PEAKS = 3


@dataclass(frozen=True)
class Centre:
    """A site that was found. (column, row) with the centre of the upper left pixel at (0, 0)."""

    point: tuple[float, float]
    confidence: float


def peaks(maps: NDArray[np.float32], count: int = PEAKS) -> shape.Candidates:
    """The highest local maxima of (S, H, W) probabilities, at most `count` of each."""
    points = np.zeros((len(maps), count, 2))
    scores = np.zeros((len(maps), count))
    for index, probability in enumerate(maps):
        top = maximum_filter(probability, 7)
        rows, columns = np.nonzero((probability == top) & (probability > 0.02))
        order = np.argsort(-probability[rows, columns])[:count]
        for place, n in enumerate(order):
            centre = soft_argmax(probability, (float(columns[n]), float(rows[n])), 2.0)
            points[index, place] = centre.point
            scores[index, place] = centre.confidence
    return shape.Candidates(points, scores)


def soft_argmax(probability: NDArray[np.float32], near: Sequence[float], spread: float) -> Centre:
    """The centre of mass of a probability near a point, seen through a Gaussian.

    Parameters
    ----------
    probability
        (H, W).
    near
        (column, row) of the point.
    spread
        Standard deviation of the Gaussian, in pixels.

    Returns
    -------
    Centre
        Its confidence is the highest weighted probability; 0 off the map.
    """
    height, width = probability.shape
    reach = int(np.ceil(2.5 * spread)) + 1
    left, top = max(0, int(near[0]) - reach), max(0, int(near[1]) - reach)
    patch = probability[top : int(near[1]) + reach + 2, left : int(near[0]) + reach + 2]
    if patch.size == 0 or left >= width or top >= height or near[0] < 0 or near[1] < 0:
        return Centre((float(near[0]), float(near[1])), 0.0)
    rows, columns = np.ogrid[top : top + patch.shape[0], left : left + patch.shape[1]]
    distance = ((columns - near[0]) ** 2 + (rows - near[1]) ** 2) / (2 * spread**2)
    weighted = patch * np.exp(-distance)
    sharp = weighted**2
    total = float(sharp.sum())
    if total < 1e-12:
        return Centre((float(near[0]), float(near[1])), 0.0)
    return Centre((float((sharp * columns).sum() / total), float((sharp * rows).sum() / total)), float(weighted.max()))
