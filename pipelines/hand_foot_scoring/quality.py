"""Whether pixels can carry grades, or are spoilt by compression, noise, blur, few grey levels or saturation.

Heavy compression and grain draw outlines where a bone has none, and the heads take them for erosions. So each of these
is measured on the limb, against the spread of grey values that a joint has on the heads' crops. The limits are where,
on simulated limbs of 400 to 1500 pixels whose pictures were made worse step by step, the mean error of the grades had
grown by about a fifth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, median_filter

from pipelines.hand_foot_scoring.crops import CROP, FIELD_MM, smoothing
from pipelines.hand_foot_scoring.scoring import Reason
from pipelines.hand_foot_scoring.windows import Box, Image

MAX_BLOCKS = 0.09  # height of the steps between the blocks of a compressed picture, in spreads of a joint's crop
# Noise of the size of a trabecula, in the same. On simulated limbs 0.11 would do; the one film of severe arthritis has
# 0.10 to 0.115, because hardly a tile of destroyed joints is quiet.
MAX_GRAIN = 0.12
MAX_SPECKS = 1.6  # single bright and dark pixels, in the same
# Share of a crop without the slightest change of grey. It tells what the number of grey levels does not: where grain
# hides the borders between them (dither), as few as 14 do no harm. Bone that is saturated is as flat.
MAX_FLAT = 0.2
MAX_BLUR_MM = 0.45  # of the edges, as the standard deviation of a Gaussian, on a mean adult
FWHM = 2.355  # width at half height over standard deviation of a Gaussian

MARGIN_MM = 8.0  # round the sites of a limb: the picture is looked at within it
PERIODS = np.exp(np.arange(np.log(4.0), np.log(18.0), 0.0005))  # of blocks, pixels: 8 as stored, others after resizing
SEEN = 4.0  # a lattice stands out from what is regular by chance by this much
PIXELS = 600  # rows or columns of the picture that are looked at: more tell no more


@dataclass(frozen=True)
class Quality:
    """What the pixels of a limb are like. A spread is the standard deviation of a joint's crop, as the heads see it."""

    blocks: float  # height of the steps at a regular lattice, in spreads; 0 where there is no lattice
    grain: float  # noise in the quietest parts, in spreads
    specks: float  # what the strongest specks stand out by, in spreads
    flat: float  # share of a crop without the slightest change of grey
    blur_mm: float  # standard deviation of the blur of the sharpest edges, mm on a mean adult

    @property
    def problem(self) -> Reason | None:
        """Why no grades can be read on these pixels; None where they can."""
        if self.blocks > MAX_BLOCKS:
            return Reason.BLOCKS
        if self.flat > MAX_FLAT:
            return Reason.GREY_LEVELS
        if self.grain > MAX_GRAIN or self.specks > MAX_SPECKS:
            return Reason.NOISE
        return Reason.BLUR if self.blur_mm > MAX_BLUR_MM else None

    @property
    def words(self) -> str:
        """The problem in words, with its size where that helps; "" where there is none."""
        problem = self.problem
        if problem is None:
            return ""
        size = f" (none finer than {self.blur_mm * FWHM:.1f} mm)" if problem is Reason.BLUR else ""
        return problem.value + size


def quality(picture: Image, box: Box, cuts: NDArray[Any]) -> Quality:
    """What the pixels of a limb are like.

    Parameters
    ----------
    picture
        (H, W).
    box
        Left, top, right and bottom of the limb on it, in pixels.
    cuts
        (N, 64, 64) crops of its joints as they were cut; at least one.
    """
    left, top = (max(0, int(value)) for value in box[:2])
    shown = picture[top : int(box[3]) + 1, left : int(box[2]) + 1]
    raw: NDArray[np.float32] = np.asarray(cuts, np.float32)
    smooth = smoothing(CROP, 14.0)
    # as `crops.normalised`, where it is not clipped
    fine: NDArray[np.float32] = np.asarray(raw - np.float32(0.8) * (smooth @ raw @ smooth.T), np.float32)
    spreads = fine.std(axis=(1, 2), keepdims=True) + 1e-6
    fine /= spreads
    strides = [max(1, size // PIXELS) for size in shown.shape]
    down, across = shown[:: strides[0]], shown[:, :: strides[1]]
    profiles = [np.abs(np.diff(down, axis=1)).mean(axis=0), np.abs(np.diff(across, axis=0)).mean(axis=1)]
    return Quality(
        blocks=lattice_step(profiles) / float(np.median(spreads)),
        grain=_grain(fine),
        specks=float(np.median(np.quantile(np.abs(fine - median_filter(fine, (1, 3, 3))), 0.995, axis=(1, 2)))),
        flat=_flat(raw),
        blur_mm=_blur(fine) * FIELD_MM / CROP,
    )


def lattice_step(profiles: Sequence[NDArray[Any]]) -> float:
    """How much higher a picture's steps are at the lines of a lattice than between them; 0 where there is no lattice.

    Compression cuts a picture into blocks of 8 x 8 pixels, which meet in steps. Their lines are found by their
    regularity, wherever the first one lies and whatever resizing has made of their distance, and must be there in both
    directions: the lines of an anti-scatter grid are in one only.

    Parameters
    ----------
    profiles
        Mean steps between neighbouring pixels: from column to column (W - 1,) and from row to row (H - 1,).
    """
    height, clear = np.ones(len(PERIODS)), np.ones(len(PERIODS))
    for profile in profiles:
        if len(profile) < 4 * PERIODS[-1]:
            return 0.0
        sharp = np.asarray(profile, np.float64)
        sharp = sharp - median_filter(sharp, 9, mode="nearest")
        size = 8 * len(sharp)
        strength = np.abs(np.fft.rfft(sharp, size)) / len(sharp)
        # Lines of height h every p pixels have h/p at the frequency 1/p, which blur hardly changes, and at its
        # multiples: something that varies slowly has not
        first, second = (PERIODS * strength[np.round(k * size / PERIODS).astype(int)] for k in (1, 2))
        both = np.sqrt(first * second)
        height *= np.sqrt(first)
        clear *= np.sqrt(both / (np.median(both) + 1e-12))
    return float(np.where(clear > SEEN, height, 0).max())


def _grain(fine: NDArray[np.float32]) -> float:
    """What varies over 0.3 to 0.75 mm in the quietest tenth of crops (N, 64, 64), where there is no edge of a bone."""
    band = gaussian_filter(fine, (0, 0.8, 0.8)) - gaussian_filter(fine, (0, 2.0, 2.0))
    tiles = np.sqrt((band.reshape(-1, 8, 8, 8, 8) ** 2).mean(axis=(2, 4))).reshape(len(fine), -1)
    return float(np.median(np.quantile(tiles, 0.1, axis=1)))


def _steps(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Size of the gradient (N, 63, 63) of images (N, 64, 64)."""
    return np.hypot(np.diff(image, axis=2)[:, :-1], np.diff(image, axis=1)[:, :, :-1])


def _flat(raw: NDArray[np.float32]) -> float:
    """Share of crops (N, 64, 64) without any change of grey; air is left out, saturated bone is not."""
    low, high = float(raw.min()), float(raw.max())
    inside = (raw > low + 0.02 * (high - low))[:, :-1, :-1]
    still = _steps(raw) < 0.005 * raw.std(axis=(1, 2), keepdims=True)
    counts = inside.sum(axis=(1, 2))
    shares = (still & inside).sum(axis=(1, 2)) / np.maximum(counts, 1)
    return float(np.median(np.where(counts > 300, shares, 0)))


def _blur(fine: NDArray[np.float32], more: float = 0.8) -> float:
    """Standard deviation of the blur of the steepest edges of crops (N, 64, 64), pixels of the crop.

    A Gaussian of s pixels makes an edge that is blurred by b less steep by sqrt(1 + (s / b)^2).
    """
    before, after = (
        float(np.median(np.quantile(_steps(image), 0.99, axis=(1, 2))))
        for image in (fine, gaussian_filter(fine, (0, more, more)))
    )
    less = max(before / max(after, 1e-9), 1.0001)
    return more / float(np.sqrt(less**2 - 1))
