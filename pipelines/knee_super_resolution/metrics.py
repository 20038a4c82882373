"""How volumes are compared: frozen here, so that every method and every report means the same thing by a number.

Intensities are divided by the 99.9th percentile of the input first (`scale_of`), never by the truth's. RMSE and pSNR
are taken over the foreground; SSIM is three-dimensional, Gaussian window 11, sigma 1.5, data range 1 (Wang 2004).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.floating]

FOREGROUND_LEVEL = 0.05  # of the scaled intensity, after smoothing
SSIM_SIGMA = 1.5
SSIM_RADIUS = 5  # window of 11
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # data range 1


def scale_of(volume: Volume) -> float:
    """What intensities are divided by: the 99.9th percentile of the input volume."""
    return max(float(np.percentile(volume, 99.9)), 1e-6)


def foreground(volume: Volume) -> NDArray[np.bool_]:
    """Where a scaled volume (D, H, W) shows something rather than air."""
    from scipy.ndimage import gaussian_filter

    mask: NDArray[np.bool_] = gaussian_filter(np.asarray(volume, dtype=np.float32), 1.0) > FOREGROUND_LEVEL
    return mask if mask.any() else np.ones(volume.shape, dtype=bool)


def rmse(result: Volume, truth: Volume, mask: NDArray[np.bool_]) -> float:
    """Root mean square difference over the mask, of scaled intensities.

    Parameters
    ----------
    result, truth
        (D, H, W), scaled by `scale_of`.
    mask
        (D, H, W): where to compare.
    """
    difference = np.asarray(result, dtype=np.float64)[mask] - np.asarray(truth, dtype=np.float64)[mask]
    return float(np.sqrt(np.mean(difference**2)))


def psnr_db(result: Volume, truth: Volume, mask: NDArray[np.bool_]) -> float:
    """20 log10(1 / RMSE), dB.

    Parameters
    ----------
    result, truth
        (D, H, W), scaled by `scale_of`.
    mask
        (D, H, W): where to compare.
    """
    return float(-20 * np.log10(max(rmse(result, truth, mask), 1e-12)))


def ssim_map(result: Volume, truth: Volume) -> NDArray[np.float32]:
    """Structural similarity at every voxel of scaled volumes (D, H, W)."""
    from scipy.ndimage import gaussian_filter

    def mean(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        smoothed: NDArray[np.float32] = gaussian_filter(volume, SSIM_SIGMA, radius=SSIM_RADIUS, mode="reflect")
        return smoothed

    x, y = np.asarray(result, dtype=np.float32), np.asarray(truth, dtype=np.float32)
    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + SSIM_C1) * (2 * covariance + SSIM_C2)
    divisor = (mean_x**2 + mean_y**2 + SSIM_C1) * (variance_x + variance_y + SSIM_C2)
    similarity: NDArray[np.float32] = (likeness / divisor).astype(np.float32)
    return similarity


def ssim(result: Volume, truth: Volume, mask: NDArray[np.bool_] | None = None) -> float:
    """Mean structural similarity, over the mask where one is given.

    Parameters
    ----------
    result, truth
        (D, H, W), scaled by `scale_of`.
    mask
        (D, H, W): where to average; everywhere where None.
    """
    similarity = ssim_map(result, truth)
    return float(similarity.mean() if mask is None else similarity[mask].mean())


def highband_error(result: Volume, truth: Volume, ratio: float) -> float:
    """Relative error of the energy that the thick slices cannot carry.

    The spectra along the slice axis (axis 0) above the thick-slice Nyquist, 1 / (2 * ratio) cycles per thin slice, are
    compared: the energy of the difference over the energy of the truth. Zero is perfect, one is what a result without
    anything in that band has, more than one means invented detail.

    Parameters
    ----------
    result, truth
        (D, H, W), scaled by `scale_of`.
    ratio
        Thin slices per thick slice.
    """
    window = np.hanning(truth.shape[0] + 2)[1:-1, None, None]
    truth_spectrum = np.fft.rfft(np.asarray(truth, dtype=np.float32) * window, axis=0)
    difference = np.fft.rfft((np.asarray(result, dtype=np.float32) - truth) * window, axis=0)
    band = np.fft.rfftfreq(truth.shape[0]) > 0.5 / ratio
    energy = float(np.sum(np.abs(truth_spectrum[band]) ** 2))
    return float(np.sum(np.abs(difference[band]) ** 2)) / max(energy, 1e-12)


def noise_of(volume: Volume, mask: NDArray[np.bool_] | None = None) -> float:
    """The standard deviation of the noise, from the diagonal differences of 2 x 2 pixels of each slice.

    The median makes it robust to edges (Donoho 1994); texture at the scale of a pixel is taken for noise.
    """
    v = np.asarray(volume, dtype=np.float32)
    diagonal = 0.5 * (v[:, :-1, :-1] - v[:, 1:, :-1] - v[:, :-1, 1:] + v[:, 1:, 1:])
    if mask is not None:
        chosen = diagonal[mask[:, :-1, :-1]]
        diagonal = chosen if chosen.size else diagonal
    return float(np.median(np.abs(diagonal)) / 0.6745)
