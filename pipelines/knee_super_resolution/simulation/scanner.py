"""What a scanner makes of an object: a finite k-space, a window, zeros round it, noise, and fat beside its place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Acquisition:
    """How a volume is measured. Fractions and shifts stand in the order of the volume's axes."""

    measured: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of k-space along each axis; the rest is filled with zeros
    taper: float = 0.2  # share of the measured half-axis over which the window falls, 0 for none
    fat_shift: tuple[float, float, float] = (0.0, 0.0, 0.0)  # chemical shift, in samples of the result
    fat_phase: float = 0.0  # of fat against water at the echo, radians; 0 for a spin echo
    noise: float = 0.01  # standard deviation in each channel of the image, in its unit

    @staticmethod
    def draw(random: np.random.Generator, gradient_echo: bool) -> Acquisition:
        """A random one: half of the volumes are zero-filled along some axis, as most scanners do.

        Parameters
        ----------
        random
            Where chance comes from.
        gradient_echo
            Whether fat may be out of phase with water.
        """
        measured = np.where(random.random(3) < 0.35, random.uniform(0.6, 0.95, 3), 1.0)
        shift = np.zeros(3)
        shift[int(random.integers(3))] = random.uniform(-1.5, 1.5)
        return Acquisition(
            measured=(float(measured[0]), float(measured[1]), float(measured[2])),
            taper=float(random.choice([0.0, random.uniform(0.05, 0.5)])),
            fat_shift=(float(shift[0]), float(shift[1]), float(shift[2])),
            fat_phase=float(random.uniform(0, np.pi)) if gradient_echo else 0.0,
            noise=float(np.exp(random.uniform(np.log(0.004), np.log(0.035)))),
        )


def acquire(water: Field, fat: Field, shape: Shape, how: Acquisition, random: np.random.Generator) -> Field:
    """The magnitude image of an object that is given more finely than it is measured: `shape`, float32.

    Parameters
    ----------
    water, fat
        (D, H, W) signal of the two, sampled at least as finely as `shape`.
    shape
        Of the result, over the same extent.
    how
        What is measured and how.
    random
        Where the noise comes from.
    """
    from scipy.fft import fftn, ifftn

    # the same sample count on either side of the centre, so that nothing moves by half a voxel
    kept = _centre(fftn(water), shape)
    other = _centre(fftn(fat), shape) * np.exp(1j * how.fat_phase)
    for axis, size in enumerate(shape):
        frequency = np.fft.fftfreq(size)
        window = _along(_window(frequency, how.measured[axis], how.taper), axis)
        kept *= window
        other *= window * _along(np.exp(-2j * np.pi * frequency * how.fat_shift[axis]), axis)
    spread = how.noise * np.sqrt(np.prod(shape))
    noise = random.normal(0, spread, (2, *shape))
    kept = kept * (np.prod(shape) / water.size) + other * (np.prod(shape) / water.size)
    for axis, size in enumerate(shape):
        noise *= _along((_window(np.fft.fftfreq(size), how.measured[axis], how.taper)).astype(np.float32), axis)
    magnitude: Field = np.abs(ifftn(kept + noise[0] + 1j * noise[1])).astype(np.float32)
    return magnitude


def _centre(spectrum: NDArray[np.complexfloating], shape: Shape) -> NDArray[np.complexfloating]:
    """The low frequencies of a spectrum, as many as `shape` has samples."""
    for axis, size in enumerate(shape):
        frequency = np.fft.fftfreq(size) * size  # -size / 2 .. size / 2 - 1
        spectrum = np.take(spectrum, frequency.astype(int), axis=axis)  # negative ones count from the end
    return spectrum


def _window(frequency: NDArray[np.floating], measured: float, taper: float) -> NDArray[np.floating]:
    """One inside the measured part, falling by a cosine over its last `taper`, zero beyond: like `frequency`."""
    place = np.abs(frequency) / (0.5 * measured)
    fall = np.clip((place - (1 - taper)) / max(taper, 1e-6), 0, 1)
    window: NDArray[np.floating] = np.where(place <= 1 + 1e-9, 0.08 + 0.92 * 0.5 * (1 + np.cos(np.pi * fall)), 0.0)
    return window


def _along(line: NDArray, axis: int) -> NDArray:  # type: ignore[type-arg]
    return line.reshape([-1 if each == axis else 1 for each in range(3)])
