"""Numbers that were worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.knee_super_resolution import metrics


def test_psnr_of_a_known_error() -> None:
    truth = np.full((6, 8, 8), 0.5)
    mask = np.ones(truth.shape, bool)
    assert metrics.psnr_db(truth + 0.01, truth, mask) == pytest.approx(40.0)
    assert metrics.rmse(truth + 0.01, truth, mask) == pytest.approx(0.01)


def test_ssim_is_one_for_the_same_and_falls_with_blur() -> None:
    from scipy.ndimage import gaussian_filter

    truth = np.random.default_rng(0).random((16, 20, 20)).astype(np.float32)
    assert metrics.ssim(truth, truth) == pytest.approx(1.0, abs=1e-5)
    assert metrics.ssim(gaussian_filter(truth, 1.0), truth) < 0.8


def test_ssim_of_two_constants_follows_the_luminance_term() -> None:
    a, b = np.full((12, 12, 12), 0.4), np.full((12, 12, 12), 0.6)
    c1 = 0.01**2
    assert metrics.ssim(a, b) == pytest.approx((2 * 0.24 + c1) / (0.16 + 0.36 + c1), abs=1e-3)


def test_ssim_is_that_of_monai_where_its_window_is_whole() -> None:
    from monai.metrics import SSIMMetric
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(2)
    truth = gaussian_filter(random.random((20, 24, 22)), 1).astype(np.float32)
    result = (truth + 0.05 * random.standard_normal(truth.shape)).astype(np.float32)
    theirs = SSIMMetric(spatial_dims=3, data_range=1.0, win_size=11, kernel_sigma=1.5)
    expected = float(theirs(torch.from_numpy(result)[None, None], torch.from_numpy(truth)[None, None]))
    inside = (slice(5, -5),) * 3
    assert float(metrics.ssim_map(result, truth)[inside].mean()) == pytest.approx(expected, abs=1e-4)


def test_highband_error_is_one_without_the_band_and_zero_with_it() -> None:
    slices = np.arange(48)
    wave = np.sin(2 * np.pi * 0.4 * slices)[:, None, None] * np.ones((1, 4, 4))
    assert metrics.highband_error(np.zeros_like(wave), wave, 4) == pytest.approx(1.0, abs=1e-6)
    assert metrics.highband_error(wave, wave, 4) == pytest.approx(0.0, abs=1e-9)
    assert metrics.highband_error(-wave, wave, 4) == pytest.approx(4.0, abs=1e-5)  # invented the other way round


def test_noise_is_found_under_smooth_structure() -> None:
    random = np.random.default_rng(1)
    smooth = np.sin(np.linspace(0, 6, 64))[None, :, None] * np.ones((8, 64, 64))
    assert metrics.noise_of(smooth + random.normal(0, 0.05, smooth.shape)) == pytest.approx(0.05, rel=0.05)
