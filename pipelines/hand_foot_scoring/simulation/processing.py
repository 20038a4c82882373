"""What detectors and their makers' processing do to a radiograph: grey curves, local contrast, noise, blur, JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter

from pipelines.hand_foot_scoring.simulation.radiograph import Image


def processed(image: Image, pixel_mm: float, rng: np.random.Generator) -> Image:
    """The film as another device would have shown it.

    Parameters
    ----------
    image
        (H, W) bone bright, about 0..1.
    pixel_mm
        Size of a pixel, mm.
    rng
        Draws what is done.

    Returns
    -------
    Image
        (H, W) about 0..1.
    """
    if rng.random() < 0.4:
        image = blurred(image, float(rng.uniform(0.1, 0.45)) / pixel_mm)
    if rng.random() < 0.25:
        image = coarsened(image, float(rng.uniform(1.2, 2.2)), rng)
    if rng.random() < 0.7:
        image = local_contrast_raised(image, pixel_mm, rng)
    image = curved(image, rng)
    image = noisy(image, rng)
    if rng.random() < 0.4:
        image = jpeg(image, int(rng.integers(50, 96)))
    if rng.random() < 0.3:
        image = posterised(image, int(rng.choice([64, 128, 256])))
    return image


def blurred(image: Image, sigma: float) -> Image:
    """Focal spot and detector blur of so many pixels."""
    return np.asarray(gaussian_filter(image, sigma, truncate=3), np.float32)


def coarsened(image: Image, factor: float, rng: np.random.Generator) -> Image:
    """As after reduction to a small picture and enlargement again."""
    height, width = image.shape
    small = Pillow.fromarray(image).resize(
        (max(8, int(width / factor)), max(8, int(height / factor))), Pillow.Resampling.BOX
    )
    kind = (Pillow.Resampling.BILINEAR, Pillow.Resampling.BICUBIC, Pillow.Resampling.LANCZOS)[int(rng.integers(3))]
    return np.asarray(small.resize((width, height), kind), np.float32)


def local_contrast_raised(image: Image, pixel_mm: float, rng: np.random.Generator) -> Image:
    """Multi-scale unsharp masking as makers do it: each band of detail times its own gain, strong detail compressed."""
    out = image
    for sigma_mm in (0.5, 1.6, 6.0):
        gain = float(rng.normal(0.15, 0.35)) if sigma_mm < 6 else float(rng.normal(0.1, 0.3))
        band = image - _wide_blur(image, sigma_mm / pixel_mm)
        soft = float(rng.uniform(0.05, 0.3))
        out = out + np.clip(gain, -0.5, 1.0) * soft * np.tanh(band / soft)
    return np.asarray(out, np.float32)


def _wide_blur(image: Image, sigma: float) -> Image:
    """A Gaussian blur; wide ones on a coarser grid."""
    factor = max(1, int(sigma / 3))
    if factor == 1:
        return np.asarray(gaussian_filter(image, sigma, truncate=2.5), np.float32)
    height, width = image.shape
    small = np.asarray(Pillow.fromarray(image).reduce(factor), np.float32)
    small = gaussian_filter(small, sigma / factor, truncate=2.5)
    return np.asarray(Pillow.fromarray(small).resize((width, height), Pillow.Resampling.BILINEAR), np.float32)


def curved(image: Image, rng: np.random.Generator) -> Image:
    """Another curve from exposure to grey, and other ends of the grey scale."""
    low, high = np.quantile(image[::4, ::4], (0.01, 0.9995))
    low = low - rng.uniform(0, 0.1) * (high - low)
    high = high + rng.uniform(-0.05, 0.25) * (high - low)
    grey = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1.05)
    kind = rng.random()
    if kind < 0.5:
        grey = grey ** float(np.exp(rng.normal(0, 0.35)))
    elif kind < 0.7:  # logarithmic to linear: thick parts come together
        k = float(rng.uniform(0.3, 2.5))
        grey = (1 - np.exp(-k * grey)) / (1 - np.exp(-k))
    elif kind < 0.85:  # linear to logarithmic: thin parts come together
        k = float(rng.uniform(0.3, 1.6))
        grey = (np.exp(k * grey) - 1) / (np.exp(k) - 1)
    else:
        share = float(rng.uniform(0.2, 0.9))
        inner = np.minimum(grey, 1)
        grey = (1 - share) * grey + share * inner**2 * (3 - 2 * inner)
    return np.asarray(grey, np.float32)


def noisy(image: Image, rng: np.random.Generator) -> Image:
    """Quantum noise, less where it is bright, of fine or coarse grain; against the detail that the picture has."""
    detail = image[::2, ::2] - gaussian_filter(image[::2, ::2], 6.0, truncate=2)
    spread = float(np.quantile(np.abs(detail), 0.7)) * 10 ** float(rng.uniform(-1.7, -0.3))
    field = rng.standard_normal(image.shape, dtype=np.float32)
    sigma = float(rng.uniform(0, 1.0))
    if sigma > 0.35:
        field = gaussian_filter(field, sigma, truncate=3)
        field /= field.std() + 1e-6
    return np.asarray(image + spread * field * (1.3 - 0.6 * np.clip(image, 0, 1)), np.float32)


def jpeg(image: Image, quality: int) -> Image:
    """Compressed and opened again, 8 bits a pixel."""
    buffer = io.BytesIO()
    Pillow.fromarray(np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return np.asarray(np.asarray(Pillow.open(buffer), np.float32) / np.float32(255))


def posterised(image: Image, levels: int) -> Image:
    """Only so many grey values."""
    steps = np.float32(levels - 1)
    return np.asarray(np.round(np.clip(image, 0, 1) * steps) / steps, np.float32)
