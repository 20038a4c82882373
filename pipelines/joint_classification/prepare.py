"""An image or a volume as the networks see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.joint_classification.geometry import FIELD_2D, SIZE_2D, SIZE_3D

Array = NDArray[np.float32]
# what a volume holds: its grey values, the mask of the bone, or their product (inputs #1, #2 and #3 of the paper)
Inputs = Literal["grey", "mask", "product"]
INPUTS: dict[str, Inputs] = {"grey": "grey", "mask": "mask", "product": "product"}


def prepare(image: NDArray[np.generic], inputs: Inputs = "grey") -> Array:
    """An image (H, W) or volume (D, H, W) as the network sees it.

    Parameters
    ----------
    image
        Any size; grey values or density.
    inputs
        What a volume is to hold; an image holds grey values.
    """
    if image.ndim == 2:
        return normalise(resize(np.asarray(image, np.float32), FIELD_2D)[: SIZE_2D[0]], SIZE_2D)
    grey = resize(np.asarray(image, np.float32), SIZE_3D)
    if inputs == "grey":
        return normalise(grey, SIZE_3D)
    mask = bone_mask(grey).astype(np.float32)
    return normalise(mask if inputs == "mask" else mask * grey, SIZE_3D)


def bone_mask(grey: Array) -> NDArray[np.bool_]:
    """The envelope (D, H, W) of the largest bone of a scan: what is brighter than soft tissue, closed and filled.

    The published front end is a U-Net; on these volumes a threshold after smoothing does the same work.
    """
    smooth = ndimage.gaussian_filter(grey, 1.0)
    bone = smooth > 0.5 * (np.percentile(smooth, 30) + np.percentile(smooth, 99.5))
    bone = ndimage.binary_closing(np.pad(bone, 4), iterations=3)[4:-4, 4:-4, 4:-4]
    filled = np.stack([ndimage.binary_fill_holes(layer) for layer in bone])
    labels, count = ndimage.label(filled)
    if count > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        filled = labels == sizes.argmax()
    return np.asarray(filled, bool)


def spread_over(heat: Array, shape: Sequence[int]) -> Array:
    """Bring a map on the grid of `prepare` back onto an image of `shape`; 0 where the network saw nothing."""
    if heat.ndim == 2:
        whole = np.zeros(FIELD_2D, np.float32)
        whole[: SIZE_2D[0]] = heat
        heat = whole
    return np.clip(resize(heat, shape), 0, 1)


def normalise(image: NDArray[np.generic], size: Sequence[int]) -> Array:
    """Bring an image to `size` and to mean 0, standard deviation 1 of itself.

    Only the input's own statistics are used: gain and dynamic range of the scanner drop out.
    """
    sized = resize(np.asarray(image, np.float32), size)
    deviation = float(sized.std())
    return np.asarray((sized - sized.mean()) / max(deviation, 1e-4), np.float32)


def resize(image: Array, size: Sequence[int]) -> Array:
    """Resample linearly to `size`, the corners of the field of view fixed; smooth first along axes that shrink."""
    if image.shape == tuple(size):
        return image
    factors = [after / before for before, after in zip(image.shape, size, strict=True)]
    smooth = ndimage.gaussian_filter(image, [max(0.0, 0.4 * (1 / factor - 1)) for factor in factors])
    sized = ndimage.zoom(smooth, factors, order=1, mode="nearest", grid_mode=True)
    return np.asarray(sized, np.float32)
