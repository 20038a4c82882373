"""What becomes of a crop between detector and screen, drawn anew for every crop of every batch.

Makers process radiographs differently, archives shrink and compress them, and a simulated crop has textures of its own.
A network that sees each crop in ever other styles has to look at what all styles leave alone: the shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipelines.hand_foot_scoring.crops import CROP, normalised, smoothing

Images = NDArray[np.float32]
BLURS = (0.5, 0.8, 1.2, 1.6)  # pixels of a crop, each 0.375 mm on a mean adult
SHRUNK = (1.4, 1.8, 2.4)  # pictures that are coarser than a crop, by this much
BATCH = 128


@dataclass(frozen=True)
class Style:
    """How far crops are varied."""

    turn: float = 0.06  # radians, standard deviation
    scale: float = 0.05  # standard deviation of the logarithm
    shift: float = 1.2  # pixels, standard deviation
    # shares of the crops
    spectrum: float = 0.4  # whose amplitudes are mixed with those of another crop
    tone: float = 0.7  # that get another display curve
    slope: float = 0.25  # that get brighter towards one side
    grain: float = 0.35  # that get texture where there is bone
    soft: float = 0.35  # that are blurred or shrunk
    sharp: float = 0.25  # whose edges are lifted, and as many whose local contrast is
    noise: float = 0.4  # that get noise
    blocks: float = 0.15  # that are compressed as JPEG


# moved only: what is simulated already differs in exposure and processing
MOVED = Style(spectrum=0, tone=0, slope=0, grain=0, soft=0, sharp=0, noise=0, blocks=0)


def styled(stored: NDArray[np.uint8], rng: np.random.Generator, style: Style | None = None) -> Images:
    """Crops in random styles, as the network takes them.

    Parameters
    ----------
    stored
        (N, 76, 76) grey values with a margin, bone bright.
    rng
        Draws the styles.
    style
        How far they are varied; the default of training if None.

    Returns
    -------
    NDArray
        (N, 1, 64, 64), normalised.
    """
    style = style or Style()
    image = torch.from_numpy(stored.astype(np.float32) / 255)
    image = _placed(image, rng, style)
    for share, change in (
        (style.spectrum, _with_spectrum),
        (style.tone, _toned),
        (style.slope, _sloped),
        (style.grain, _grained),
        (style.soft, _softened),
        (style.sharp, _sharpened),
        (style.sharp, _evened),
        (style.noise, _noisy),
        (style.blocks, _compressed),
    ):
        chosen = torch.from_numpy(np.flatnonzero(rng.random(len(image)) < share))
        if len(chosen):
            image[chosen] = change(image[chosen], rng)
    return normalised(255 * image.numpy())[:, None]


def views(stored: NDArray[np.uint8], count: int, seed: int, style: Style | None = None) -> NDArray[np.uint8]:
    """Crops in `count` styles each, to be stored while a training uses them; in the first they are only moved.

    Parameters
    ----------
    stored
        (N, 76, 76) grey values with a margin, bone bright.
    count
        How many styles each crop is seen in.
    seed
        Of the styles.
    style
        How far they are varied; the default of training if None.

    Returns
    -------
    NDArray
        (count, N, 64, 64); -1 to 1 of the normalised crops lie at 0 to 254.
    """
    made = np.empty((count, len(stored), CROP, CROP), np.uint8)
    for number in range(count):
        rng = np.random.default_rng((seed, 17, number))
        order = rng.permutation(len(stored))  # neighbours exchange amplitudes: they are to be of any patient
        for start in range(0, len(stored), BATCH):
            rows = order[start : start + BATCH]
            made[number, rows] = np.round((styled(stored[rows], rng, style if number else MOVED)[:, 0] + 1) * 127)
    return made


def _column(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))[:, None, None]


def _drawn(rng: np.random.Generator, count: int, low: float, high: float) -> Tensor:
    """(N, 1, 1) strengths, drawn evenly."""
    return _column(rng.uniform(low, high, count))


def _placed(image: Tensor, rng: np.random.Generator, style: Style) -> Tensor:
    """Turn, scale and move crops (N, 76, 76) a little and cut their margin off."""
    count, size = len(image), image.shape[-1]
    angle, scale = rng.normal(0, style.turn, count), np.exp(rng.normal(0, style.scale, count)) * CROP / size
    shift = np.clip(rng.normal(0, style.shift, (2, count)), -4, 4) * 2 / size
    line = (torch.arange(CROP) + 0.5) * 2 / CROP - 1
    c, s = _column(scale * np.cos(angle)), _column(scale * np.sin(angle))
    x = c * line - s * line[:, None] + _column(shift[0])
    y = s * line + c * line[:, None] + _column(shift[1])
    grid = torch.stack((x, y), dim=-1)
    moved = functional.grid_sample(image[:, None], grid, padding_mode="border", align_corners=False)
    return moved[:, 0]


def _with_spectrum(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Mix the amplitudes of each crop with those of another one of the batch; phases, so the shapes, stay (Xu 2021)."""
    share = _drawn(rng, len(image), 0.1, 0.7)
    wave = torch.fft.rfft2(image)
    strength = wave.abs() + 1e-4
    other = strength[torch.from_numpy(rng.permutation(len(image)))]
    result: Tensor = torch.fft.irfft2(wave * (other / strength) ** share, s=image.shape[-2:])
    return result


def _unit(image: Tensor) -> Tensor:
    """Grey values from 0 to 1, crop by crop."""
    low, high = image.amin(dim=(1, 2), keepdim=True), image.amax(dim=(1, 2), keepdim=True)
    return (image - low) / (high - low).clamp_min(1e-6)


def _blurred(image: Tensor, spread: float) -> Tensor:
    matrix = torch.from_numpy(smoothing(CROP, spread))
    return matrix @ image @ matrix.T


def _detail(image: Tensor) -> Tensor:
    """How much (N, 1, 1) crops vary within about 3 mm."""
    rest = image - _blurred(image, 6.0)
    return rest.square().mean(dim=(1, 2), keepdim=True).sqrt()


def _toned(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Another display curve, and saturation at both ends."""
    count = len(image)
    image = _unit(image) ** _column(np.exp(rng.normal(0, 0.4, count)))
    curve = _drawn(rng, count, -0.6, 0.9)
    image = (1 - curve) * image + curve * image**2 * (3 - 2 * image)
    top, bottom = 1 - _drawn(rng, count, -0.5, 0.3).clamp_min(0), _drawn(rng, count, -0.5, 0.25)
    return torch.minimum(torch.maximum(image, bottom), top)


def _sloped(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Brighter towards one side."""
    line = torch.linspace(-0.5, 0.5, CROP)
    across, down = (_drawn(rng, len(image), -0.35, 0.35) for _ in range(2))
    return image + across * line + down * line[:, None]


def _grained(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Texture of 0.5 to 2 mm that is stronger where the crop is brighter: trabeculae, and what lies over them."""
    field = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
    rows, columns = (torch.from_numpy(smoothing(CROP, float(rng.choice([0.6, 0.9, 1.3, 2.0])))) for _ in range(2))
    texture = rows @ field @ columns.T
    texture = texture - _blurred(texture, float(rng.choice([2.5, 3.5, 5.0])))
    amount = _drawn(rng, len(image), 0.1, 1.0) * _detail(image)
    return image + amount * texture / texture.square().mean().sqrt() * _unit(image)


@cache
def _shrinking(factor: float) -> NDArray[np.float32]:
    """The matrix that averages a column down by a factor and stretches it again."""
    small = round(CROP / factor)
    eye = torch.eye(CROP)[None]
    low = functional.interpolate(eye, small, mode="area" if factor >= 2 else "linear")
    return np.asarray(functional.interpolate(low, CROP, mode="linear")[0].T.numpy(), np.float32)


def _softened(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur, or the loss of a picture that is coarser than the crop."""
    bank = np.stack([smoothing(CROP, s) for s in BLURS] + [_shrinking(factor) for factor in SHRUNK])
    matrix = torch.from_numpy(bank[rng.integers(0, len(bank), len(image))])
    return matrix @ image @ matrix.transpose(1, 2)


def _sharpened(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Edges lifted over 0.4 to 3 mm, as the processing of makers does."""
    blurred = _blurred(image, float(rng.choice([1.0, 2.0, 4.0, 8.0])))
    return image + _drawn(rng, len(image), 0.2, 1.8) * (image - blurred)


def _evened(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Local contrast evened out."""
    rest = image - _blurred(image, 8.0)
    spread = _blurred(rest**2, 8.0).clamp_min(0).sqrt()
    share = _drawn(rng, len(image), 0.2, 0.9)
    return (1 - share) * image + share * (0.2 * rest / (spread + 0.05) + 0.5)


def _noisy(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Noise of the detector, white or smooth."""
    noise = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
    if rng.random() < 0.5:
        noise = _blurred(noise, float(rng.uniform(0.5, 0.9)))
    amount = _column(10 ** rng.uniform(-1.7, -0.35, len(image))) * _detail(image)
    return image + amount * noise / noise.square().mean().sqrt()


@cache
def _cosines() -> Tensor:
    k, n = np.mgrid[:8, :8]
    table = np.cos(np.pi * (2 * n + 1) * k / 16) / 2
    table[0] /= np.sqrt(2)
    return torch.from_numpy(table.astype(np.float32))


def _compressed(image: Tensor, rng: np.random.Generator) -> Tensor:
    """The blocks of 8 x 8 that JPEG leaves: coarser for fine detail."""
    count, side, c = len(image), CROP // 8, _cosines()
    blocks = image.reshape(count, side, 8, side, 8).permute(0, 1, 3, 2, 4)
    rows = torch.arange(8)
    strength = _column(10 ** rng.uniform(-1.5, -0.2, count)) * _detail(image)
    step = (1 + 0.5 * (rows[:, None] + rows)) * strength[..., None, None]
    waves = torch.round(c @ blocks @ c.T / step) * step
    return (c.T @ waves @ c).permute(0, 1, 3, 2, 4).reshape(count, CROP, CROP)
