"""What the localiser sees: a canvas of fixed size with the picture and its local contrast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

CANVAS = (256, 192)  # rows, columns
STRIDE = 2  # canvas pixels per pixel of the class map


def channels(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The channels (2, H, W) of a canvas (H, W): the picture between its percentiles, and its local contrast."""
    low, high = np.quantile(image[::2, ::2], (0.01, 0.995))
    grey = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1).astype(np.float32)
    return np.stack((grey, local_contrast(grey, 0.035 * image.shape[0])))


def local_contrast(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """The difference of (H, W) from its surroundings over their spread: exposure and gamma drop out.

    `sigma`, in pixels, is the standard deviation of the Gaussian that defines the surroundings.
    """
    mean = gaussian_filter(image, sigma, truncate=2.5)
    spread = np.sqrt(np.maximum(gaussian_filter(image**2, sigma, truncate=2.5) - mean**2, 0))
    return np.asarray(np.clip((image - mean) / (spread + 0.03), -3, 3) / 3, np.float32)
