"""The scanner: from tissue to a B-mode picture, and Doppler laid over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.joint_classification.geometry import PIXEL_MM

FULL_SCALE = 22.0  # amplitude that is white at gain 0: bone facing the beam
Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Machine:
    """A scanner and its settings."""

    axial_mm: float  # standard deviation of the point spread along the beam
    lateral_mm: float  # and across it, at the focus
    focus_mm: float
    dynamic_range_db: float
    gain_db: float
    attenuation_db_per_mm: float  # two-way, after time-gain compensation
    noise_db: float  # electronic noise, relative to full scale


@dataclass
class Tissue:
    """Maps over (H, W) that the scanner model reads."""

    scatter: Array  # standard deviation of the scatterers, 1 = subcutaneous fat
    specular: Array  # amplitude of surfaces that reflect like mirrors
    shadow: Array  # 0 open to the beam, 1 in the shadow of bone
    doppler: (
        Array  # 0..1 flow, shown as the grey value of a colour overlay (the colour is taken out before the network)
    )
    lesion: NDArray[np.bool_]


def machine(rng: np.random.Generator) -> Machine:
    """A random scanner with random settings."""
    return Machine(
        axial_mm=float(rng.uniform(0.07, 0.14)),
        lateral_mm=float(rng.uniform(0.14, 0.32)),
        focus_mm=float(rng.uniform(6.0, 14.0)),
        dynamic_range_db=float(rng.uniform(46.0, 62.0)),
        gain_db=float(rng.normal(3.0, 4.0)),
        attenuation_db_per_mm=float(rng.uniform(-0.1, 0.6)),
        noise_db=float(rng.uniform(-62.0, -48.0)),
    )


def scan(rng: np.random.Generator, tissue: Tissue, settings: Machine) -> NDArray[np.float32]:
    """The B-mode picture of tissue.

    Parameters
    ----------
    rng
        Draws speckle and noise.
    tissue
        What lies under the probe.
    settings
        Of the scanner.

    Returns
    -------
    NDArray
        (H, W) in 0..1.
    """
    shape = tissue.scatter.shape
    z = np.arange(shape[0])[:, None] * PIXEL_MM
    scatterers = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * tissue.scatter / np.sqrt(2)
    # bone lets nothing through but its own reverberation, which fades
    scatterers = scatterers * (1 - 0.985 * tissue.shadow)
    field = scatterers + tissue.specular * np.exp(1j * rng.uniform(0, 2 * np.pi, shape))
    away = np.abs(z - settings.focus_mm) / 12.0
    lateral = settings.lateral_mm * (1 + away.mean())
    spread = _blur(field, settings.axial_mm / PIXEL_MM, lateral / PIXEL_MM)
    wide = _blur(field, settings.axial_mm / PIXEL_MM, 1.8 * lateral / PIXEL_MM)
    mix = np.clip(away, 0, 1)
    envelope = np.abs((1 - mix) * spread + mix * wide)
    envelope = envelope * 10 ** (-settings.attenuation_db_per_mm * z / 20)
    noise = 10 ** (settings.noise_db / 20) * FULL_SCALE
    envelope = np.hypot(envelope, noise * np.abs(rng.standard_normal(shape)))
    decibel = 20 * np.log10(envelope / FULL_SCALE + 1e-9) + settings.gain_db
    grey = np.clip(1 + decibel / settings.dynamic_range_db, 0, 1)
    return np.asarray(grey, np.float32)


def _blur(field: NDArray[np.complex128], axial: float, lateral: float) -> NDArray[np.complex128]:
    """Convolve with a Gaussian of unit energy, so that speckle keeps its strength whatever the resolution."""
    sigma = (axial, lateral)
    gain = np.sqrt(4 * np.pi * axial * lateral)
    real = ndimage.gaussian_filter(field.real, sigma, mode="nearest")
    imaginary = ndimage.gaussian_filter(field.imag, sigma, mode="nearest")
    blurred: NDArray[np.complex128] = gain * (real + 1j * imaginary)
    return blurred


def doppler_overlay(rng: np.random.Generator, image: NDArray[np.float32], flow: Array) -> NDArray[np.uint8]:
    """The picture as a scanner shows it with power Doppler on.

    Parameters
    ----------
    rng
        Draws the gain of the flow.
    image
        (H, W) in 0..1.
    flow
        (H, W) in 0..1.

    Returns
    -------
    NDArray
        (H, W, 3) RGB, orange where there is flow.
    """
    grey = np.round(image * 255).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    power = np.clip(ndimage.gaussian_filter(flow, 0.8) * rng.uniform(0.8, 1.2), 0, 1)
    shown = power > 0.25
    rgb[shown] = np.stack([150 + 105 * power, 200 * power**1.5, 20 * power], axis=2)[shown].astype(np.uint8)
    return rgb
