"""Thin to thick and back: nothing moves, nothing changes brightness, and what was acquired stays."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_super_resolution.degradation import (
    ProfileKind,
    SliceProfile,
    add_rician_noise,
    along_slices,
    coarse_positions,
    forward_matrix,
    fourier_matrix,
    projection_matrix,
    spline_matrix,
)

RATIOS = (1.5, 2.0, 2.37, 3.0, 4.0, 5.61, 8.0)


@pytest.mark.parametrize("kind", ["fir", "gaussian", "boxcar"])
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("width", [0.8, 1.0, 1.5])
def test_a_linear_ramp_survives_the_round_trip(kind: ProfileKind, ratio: float, width: float) -> None:
    fine = np.arange(73, dtype=float)
    coarse = coarse_positions(len(fine), ratio)
    ramp = np.broadcast_to((0.2 + 0.01 * fine)[:, None, None], (73, 2, 3))
    thick = along_slices(forward_matrix(fine, coarse, SliceProfile(kind, width)), ramp)
    kept = fine[fine <= coarse[-1]]
    again = along_slices(spline_matrix(coarse, kept), thick)
    # half a voxel of shift would be 5e-3
    assert np.abs(thick - (0.2 + 0.01 * coarse)[:, None, None]).max() < 1e-5
    assert np.abs(again - ramp[: len(kept)]).max() < 1e-5


def test_the_fir_halves_the_amplitude_at_its_cut_off_and_stops_beyond() -> None:
    fine = np.arange(201, dtype=float)
    row = forward_matrix(fine, np.array([96.0, 100.0]), SliceProfile("fir"))[1]

    def gain(frequency: float) -> float:
        return float(np.abs(row @ np.exp(2j * np.pi * frequency * (fine - 100))))

    assert gain(0.0) == pytest.approx(1.0, abs=1e-9)
    assert gain(1 / 8) == pytest.approx(0.5, abs=0.02)  # the Nyquist frequency of every 4th slice
    assert gain(0.05) == pytest.approx(1.0, abs=0.01)
    assert gain(0.25) < 0.005


def test_a_boxcar_averages_the_slices_it_covers() -> None:
    row = forward_matrix(np.arange(21, dtype=float), np.array([5.0, 10.0, 15.0]), SliceProfile("boxcar"))[1]
    assert row[8:13] == pytest.approx(np.full(5, 0.2), abs=1e-6)
    assert np.abs(row).sum() == pytest.approx(1.0)


def test_a_gap_leaves_out_what_lies_in_it() -> None:
    row = forward_matrix(np.arange(33, dtype=float), np.array([8.0, 16.0, 24.0]), SliceProfile("boxcar", 0.5))[1]
    assert row[14:19].min() > 0
    assert np.abs(row[19:22]).max() == 0  # halfway between two slices nothing is measured


def test_the_projection_gives_back_the_acquired_slices() -> None:
    random = np.random.default_rng(1)
    fine, coarse = np.arange(41, dtype=float), np.arange(11) * 4.0
    forward = forward_matrix(fine, coarse, SliceProfile("gaussian"))
    guess, acquired = random.random((41, 3, 4)), random.random((11, 3, 4))
    projected = guess + along_slices(projection_matrix(forward, 1e-9), acquired - along_slices(forward, guess))
    assert np.abs(along_slices(forward, projected) - acquired).max() < 1e-4


def test_the_projection_leaves_alone_what_agrees_already() -> None:
    fine, coarse = np.arange(41, dtype=float), np.arange(11) * 4.0
    forward = forward_matrix(fine, coarse, SliceProfile("fir"))
    truth = np.random.default_rng(2).random((41, 2, 2))
    miss = along_slices(forward, truth) - along_slices(forward, truth)
    assert np.abs(along_slices(projection_matrix(forward), miss)).max() == 0


def test_fourier_interpolation_is_exact_for_a_wave_the_slices_can_carry() -> None:
    coarse, fine = np.arange(17, dtype=float), np.arange(0, 16.01, 0.25)
    wave = np.cos(np.pi * 5 * coarse / 16)  # even about both ends, as the continuation is
    assert fourier_matrix(coarse, fine) @ wave == pytest.approx(np.cos(np.pi * 5 * fine / 16), abs=1e-9)


def test_the_spline_passes_through_the_slices_and_reproduces_a_cubic() -> None:
    coarse, fine = np.arange(9) * 3.3, np.linspace(0, 8 * 3.3, 50)
    cubic = np.poly1d([0.002, -0.05, 0.3, 1.0])
    assert spline_matrix(coarse, fine) @ cubic(coarse) == pytest.approx(cubic(fine), abs=1e-9)


def test_rician_noise_lifts_the_background_as_theory_says() -> None:
    noisy = add_rician_noise(np.zeros((40, 40, 40), np.float32), 0.1, np.random.default_rng(3))
    assert float(noisy.mean()) == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.01)  # Rayleigh
