"""How thin slices become thick ones, and the linear algebra that goes with it.

Everything along the slice axis is linear, so each step is a small matrix: the forward model A (thick x thin), a
classical interpolant S (thin x thick) and the projection that makes an interpolated volume agree with what was
acquired. Positions are in mm along the slice normal, or in any other unit that both lists share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
ProfileKind = Literal["fir", "gaussian", "boxcar"]

FIR_ORDER = 48  # taps - 1 of the anti-alias filter in fine samples (Chaudhari 2018, doi 10.1002/mrm.27178)
SUPPORT_SIGMAS = 3.5  # a Gaussian beyond this is under 0.3 % of its peak
BOXCAR_SUBSAMPLES = 16  # per fine sample, for the integral over a box whose edges fall between samples


@dataclass(frozen=True)
class SliceProfile:
    """The sensitivity of one thick slice along its normal."""

    kind: ProfileKind
    fwhm_ratio: float = 1.0  # full width at half maximum over the distance of the slices; the FIR ignores it

    def weights(self, offset: Array, spacing: float, fine_step: float) -> Array:
        """The sensitivity at `offset` from the slice's centre, up to a factor.

        Parameters
        ----------
        offset
            Signed distance, any shape, in the unit of `spacing`.
        spacing
            Distance of neighbouring thick slices.
        fine_step
            Distance of neighbouring thin slices, over which a thin slice is taken as constant.
        """
        fwhm = self.fwhm_ratio * spacing
        if self.kind == "gaussian":
            sigma = fwhm / 2.354820045
            return np.where(np.abs(offset) <= SUPPORT_SIGMAS * sigma, np.exp(-0.5 * (offset / sigma) ** 2), 0.0)
        if self.kind == "boxcar":
            sub = (np.arange(BOXCAR_SUBSAMPLES) + 0.5) / BOXCAR_SUBSAMPLES - 0.5
            inside = np.abs(offset[..., None] + sub * fine_step) <= fwhm / 2
            share: Array = inside.mean(axis=-1)
            return share
        taps = offset / fine_step
        half = FIR_ORDER / 2
        hamming = np.where(np.abs(taps) <= half, 0.54 + 0.46 * np.cos(np.pi * taps / half), 0.0)
        taper: Array = np.sinc(offset / spacing) * hamming
        return taper

    def half_support(self, spacing: float, fine_step: float) -> float:
        """Beyond this distance from the centre the sensitivity is zero."""
        if self.kind == "gaussian":
            return SUPPORT_SIGMAS * self.fwhm_ratio * spacing / 2.354820045
        if self.kind == "boxcar":
            return self.fwhm_ratio * spacing / 2 + fine_step
        return FIR_ORDER / 2 * fine_step


def forward_matrix(fine: Array, coarse: Array, profile: SliceProfile) -> Array:
    """The matrix A (C, F) that turns F thin slices at `fine` into C thick slices at `coarse`.

    Each row sums to one and has its centre of gravity on its slice's position, so a linear ramp keeps its values and
    nothing moves by half a voxel. Beyond the ends the volume is continued by odd reflection, which continues a ramp.

    Parameters
    ----------
    fine, coarse
        Positions along the slice normal, ascending and evenly spaced; `coarse` within the range of `fine`.
    """
    step = float(fine[1] - fine[0])
    spacing = float(coarse[1] - coarse[0]) if len(coarse) > 1 else step
    count = len(fine)
    margin = int(np.ceil(profile.half_support(spacing, step) / step)) + 1
    index = np.arange(-margin, count + margin)
    offset = (fine[0] + index * step)[None, :] - coarse[:, None]  # (C, margin + F + margin)
    weights = profile.weights(offset, spacing, step)
    empty = weights.sum(axis=1) < 1e-9  # a profile thinner than the fine step falls between two samples
    weights[empty] = np.maximum(0.0, 1.0 - np.abs(offset[empty]) / step)
    weights = _centred(weights, offset)
    return _fold(weights, index, count)


def _centred(weights: Array, offset: Array) -> Array:
    """Scale each row by a + b * offset such that it sums to one and its first moment is zero."""
    zeroth = weights.sum(axis=1)
    first = (weights * offset).sum(axis=1)
    second = (weights * offset**2).sum(axis=1)
    determinant = zeroth * second - first**2
    regular = np.abs(determinant) > 1e-9
    safe = np.where(regular, determinant, 1.0)
    a = np.where(regular, second / safe, 1.0 / zeroth)
    b = np.where(regular, -first / safe, 0.0)
    centred: Array = weights * (a[:, None] + b[:, None] * offset)
    return centred


def _fold(weights: Array, index: NDArray[np.int64], count: int) -> Array:
    """Bring weights outside 0..count-1 back inside by odd reflection: v(-i) = 2 v(0) - v(i)."""
    folded = np.zeros((len(weights), count))
    last = count - 1
    for column, position in zip(weights.T, index, strict=True):
        if 0 <= position <= last:
            folded[:, position] += column
            continue
        edge = 0 if position < 0 else last
        mirrored = min(max(2 * edge - position, 0), last)  # a very short stack: stay inside
        folded[:, edge] += 2 * column
        folded[:, mirrored] -= column
    return folded


def spline_matrix(coarse: Array, fine: Array) -> Array:
    """Cubic spline interpolation (TCI) as a matrix (F, C); not-a-knot ends, so ramps and parabolas are exact."""
    from scipy.interpolate import make_interp_spline

    degree = min(3, len(coarse) - 1)
    matrix: Array = make_interp_spline(coarse, np.eye(len(coarse)), k=degree)(fine)
    return matrix


def fourier_matrix(coarse: Array, fine: Array) -> Array:
    """Zero-padding of the slice-direction spectrum (FI) as a matrix (F, C), at any fine positions.

    The stack is continued by even reflection about its end slices, so that the period has no jump; without it the two
    ends ring into each other.
    """
    count = len(coarse)
    step = float(coarse[1] - coarse[0])
    position = (fine - coarse[0]) / step
    period = 2 * count - 2
    frequency = np.arange(-(count - 2), count - 1)
    distance = position[:, None] - np.arange(period)[None, :]
    kernel = np.cos(2 * np.pi * distance[..., None] * frequency / period).sum(axis=-1)
    kernel = (kernel + np.cos(np.pi * distance)) / period  # the Nyquist term once, half on each side
    matrix = np.zeros((len(fine), count))
    for sample in range(period):
        matrix[:, sample if sample < count else period - sample] += kernel[:, sample]
    return matrix


def projection_matrix(forward: Array, noise_to_signal: float = 1e-3) -> Array:
    """The matrix P (F, C) with x + P (y - A x) agreeing with the acquired slices y, to within noise.

    It is the regularised least-change correction A^T (A A^T + e I)^-1 with e relative to the mean of the diagonal of
    A A^T: a small `noise_to_signal` reproduces y, a larger one leaves noise in y where it is.
    """
    gram = forward @ forward.T
    ridge = noise_to_signal * float(np.trace(gram)) / len(gram)
    solved: Array = np.linalg.solve(gram + ridge * np.eye(len(gram)), forward).T
    return solved


def along_slices(matrix: Array, volume: NDArray[np.floating]) -> NDArray[np.float32]:
    """Apply a matrix (M, N) to the first axis of a volume (N, H, W): (M, H, W) float32."""
    flat = np.ascontiguousarray(volume, dtype=np.float32).reshape(volume.shape[0], -1)
    applied: NDArray[np.float32] = matrix.astype(np.float32) @ flat
    return applied.reshape(matrix.shape[0], *volume.shape[1:])


def coarse_positions(fine_count: int, ratio: float, start: float = 0.0) -> Array:
    """Centres of thick slices in units of fine samples: start, start + ratio, ... up to the last fine sample.

    Parameters
    ----------
    fine_count
        Thin slices.
    ratio
        Thin slices per thick slice.
    start
        Position of the first centre.
    """
    count = int(np.floor((fine_count - 1 - start) / ratio + 1e-9)) + 1
    return start + ratio * np.arange(count)


def add_rician_noise(
    volume: NDArray[np.floating], standard_deviation: float, random: np.random.Generator
) -> NDArray[np.float32]:
    """The magnitude of the volume with Gaussian noise in both channels, as a magnitude image has it.

    Parameters
    ----------
    volume
        Of any shape, not negative.
    standard_deviation
        Of the noise of each channel, in the unit of the volume.
    random
        Where chance comes from.
    """
    real = volume + random.normal(0.0, standard_deviation, volume.shape)
    imaginary = random.normal(0.0, standard_deviation, volume.shape)
    magnitude: NDArray[np.float32] = np.hypot(real, imaginary).astype(np.float32)
    return magnitude
