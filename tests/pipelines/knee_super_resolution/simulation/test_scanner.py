"""The scanner: what it measures, where things land and how its noise is spread."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_super_resolution.simulation.scanner import Acquisition, acquire

SHAPE = (20, 24, 22)
QUIET = Acquisition(taper=0.0, noise=0.0)


def wave(cycles: int, shape: tuple[int, int, int], axis: int) -> np.ndarray:
    """One plus a cosine along an axis, sampled where the image's samples lie."""
    place = np.arange(shape[axis]) / shape[axis]
    line = (1 + 0.5 * np.cos(2 * np.pi * cycles * place)).astype(np.float32)
    return np.broadcast_to(line.reshape([-1 if each == axis else 1 for each in range(3)]), shape).copy()


def contrast(image: np.ndarray, cycles: int, axis: int) -> float:
    """Amplitude of a wave, over the mean."""
    line = image.mean(axis=tuple(each for each in range(3) if each != axis))
    spectrum = np.abs(np.fft.rfft(line)) / len(line)
    return float(2 * spectrum[cycles] / spectrum[0])


def test_what_is_finer_than_the_image_is_measured_at_its_place() -> None:
    fine = (30, 36, 33)
    image = acquire(wave(3, fine, 1), np.zeros(fine, np.float32), SHAPE, QUIET, np.random.default_rng(0))
    assert np.allclose(image, wave(3, SHAPE, 1), atol=1e-4)


@pytest.mark.parametrize(("cycles", "left"), [(5, 0.5), (11, 0.0)])
def test_what_lies_beyond_the_measured_part_is_lost(cycles: int, left: float) -> None:
    how = Acquisition(measured=(1.0, 0.75, 1.0), taper=0.0, noise=0.0)
    image = acquire(wave(cycles, SHAPE, 1), np.zeros(SHAPE, np.float32), SHAPE, how, np.random.default_rng(0))
    assert contrast(image, cycles, 1) == pytest.approx(left, abs=0.01)


def test_fat_lies_beside_its_place_and_water_does_not() -> None:
    dot = np.zeros(SHAPE, np.float32)
    dot[10, 10, 10] = 1.0
    none = np.zeros(SHAPE, np.float32)
    how = Acquisition(taper=0.0, noise=0.0, fat_shift=(0.0, 2.0, 0.0))
    water = acquire(dot, none, SHAPE, how, np.random.default_rng(0))
    fat = acquire(none, dot, SHAPE, how, np.random.default_rng(0))
    assert np.argwhere(water == water.max()).tolist() == [[10, 10, 10]]
    assert np.argwhere(fat == fat.max()).tolist() == [[10, 12, 10]]


def test_the_noise_of_bright_tissue_has_the_wanted_deviation() -> None:
    shape = (40, 40, 40)
    how = Acquisition(taper=0.0, noise=0.02)
    image = acquire(np.ones(shape, np.float32), np.zeros(shape, np.float32), shape, how, np.random.default_rng(0))
    assert float(image.std()) == pytest.approx(0.02, rel=0.05)


def test_acquisitions_differ_in_zero_filling_and_phase() -> None:
    drawn = [Acquisition.draw(np.random.default_rng(seed), gradient_echo=True) for seed in range(60)]
    assert {min(each.measured) < 1 for each in drawn} == {True, False}
    assert len({each.fat_phase for each in drawn}) == 60
    assert Acquisition.draw(np.random.default_rng(0), gradient_echo=False).fat_phase == 0
