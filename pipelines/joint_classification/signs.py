"""Signs of what is none of the three classes, measured on the bone line of an ultrasound picture.

A network that has learned three classes sees little wrong with a joint of a fourth disease. Two signs that sonographers
use are looked for instead: the double contour of gout, a second bright line along the bone with dark cartilage between
them (Thiele and Schlesinger, Rheumatology 2007;46:1116-1121), and a joint space that osteophytes have closed, so that
no sound gets below the bone line anywhere. They are two statistics of the gate, ranked among known cases like the
others. They were made with simulated gout and osteoarthritis at hand: unlike the rest of the gate they know of those.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

NAMES = ("double contour", "closed joint space")
MARGIN = 12  # rows at the top where no bone lies
SHADOW = 15  # rows under a surface that its shadow is looked for in
DISTANCES = range(3, 9)  # rows between bone and second line: 0.5 to 1.3 mm
ALONG = 28  # columns that lines are averaged over: 4.5 mm
BELOW = (16, 30)  # rows under the bone line that echoes of an open joint space reach
LEVEL = 61  # columns over which the bone line is smoothed to bridge the joint space


def measure(prepared: Array) -> Floats:
    """Strength (S, N) of each sign, larger is more, in images (N, 1, H, W) that `prepare` has made.

    Volumes, (N, 1, D, H, W), have none: (0, N).
    """
    if prepared.ndim != 4:
        return np.empty((0, len(prepared)))
    return np.array([[double_contour(image), closed_joint(image)] for image in prepared[:, 0]]).reshape(-1, 2).T


def bone_line(image: Array) -> NDArray[np.intp]:
    """The row of the bone surface in every column: the deepest echo with a marked shadow under it."""
    smooth = ndimage.gaussian_filter(image, (0.6, 0.8))
    rows = np.arange(len(image))
    total = np.vstack([np.zeros((1, image.shape[1])), np.cumsum(smooth, 0)])
    first, last = np.minimum(rows + 3, len(rows) - 1), np.minimum(rows + SHADOW, len(rows))
    below = (total[last] - total[first]) / np.maximum(last - first, 1)[:, None]
    drop = smooth - below
    drop[:MARGIN] = 0
    drop[-SHADOW - 1 :] = 0
    peak = (smooth >= ndimage.maximum_filter1d(smooth, 5, axis=0)) & (drop > 0.65 * drop.max(0))
    deepest = len(rows) - 1 - peak[::-1].argmax(0)
    return np.asarray(ndimage.median_filter(np.where(peak.any(0), deepest, drop.argmax(0)), 7), np.intp)


def double_contour(image: Array) -> float:
    """How far a line along the bone stands out of the dark under it and the tissue over it, in the image's grey."""
    reach = max(DISTANCES) + 5
    straight = _along(image, bone_line(image), np.arange(-reach, 4))
    profile = ndimage.uniform_filter1d(straight, ALONG, axis=1)[:, ALONG // 2 : -ALONG // 2]
    bone = profile[reach - 1 : reach + 2].max(0)
    found = np.full(profile.shape[1], -np.inf)
    for distance in DISTANCES:
        line = profile[reach - distance]
        between = profile[reach - distance + 1 : reach].min(0)
        over = profile[reach - distance - 4 : reach - distance - 1].mean(0)
        found = np.maximum(found, np.minimum.reduce([line - between, line - over, bone - between]))
    return float(found.max())


def closed_joint(image: Array) -> float:
    """How little more comes from below the bone line at its most open place than elsewhere (negative: it is open)."""
    level = ndimage.median_filter(bone_line(image), LEVEL)
    under = ndimage.uniform_filter1d(_along(image, level, np.arange(*BELOW)).mean(0), 5)
    return float(np.median(under) - under.max())


def _along(image: Array, line: NDArray[np.intp], offsets: NDArray[np.intp]) -> Array:
    """The picture straightened along a line: row k is what lies `offsets[k]` rows below it."""
    index = np.clip(line[None, :] + offsets[:, None], 0, len(image) - 1)
    return np.take_along_axis(image, index, 0)
