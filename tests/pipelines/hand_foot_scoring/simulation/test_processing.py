"""Processing of films: grey values stay in range, details are raised or lost, and the same seed gives the same film."""

from __future__ import annotations

import numpy as np

from pipelines.hand_foot_scoring.simulation.processing import (
    blurred,
    coarsened,
    curved,
    jpeg,
    local_contrast_raised,
    noisy,
    posterised,
    processed,
)

RAMP = np.tile(np.linspace(0, 1, 96, dtype=np.float32), (64, 1))


def test_the_same_seed_gives_the_same_film_and_another_gives_another() -> None:
    first, again, other = (processed(RAMP, 0.28, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_grey_values_stay_about_in_range_and_bone_stays_bright() -> None:
    for seed in range(20):
        out = processed(RAMP, 0.28, np.random.default_rng(seed))
        assert out.shape == RAMP.shape
        assert out.dtype == np.float32
        assert out.min() > -0.4
        assert out.max() < 1.6
        assert out[:, -20:].mean() > out[:, :20].mean() + 0.2


def test_a_curve_keeps_the_order_of_grey_values() -> None:
    for seed in range(10):
        assert (np.diff(curved(RAMP, np.random.default_rng(seed))[0]) >= -1e-6).all()


def test_blur_and_coarse_pixels_take_detail_away() -> None:
    noise = np.random.default_rng(0).standard_normal((64, 96)).astype(np.float32)
    assert blurred(noise, 1.0).std() < 0.5
    assert coarsened(noise, 2.0, np.random.default_rng(0)).std() < 0.8
    assert coarsened(noise, 2.0, np.random.default_rng(0)).shape == noise.shape


def test_noise_and_compression_leave_the_picture() -> None:
    assert np.abs(noisy(RAMP, np.random.default_rng(0)) - RAMP).mean() < 0.05
    assert np.abs(jpeg(RAMP, 80) - RAMP).mean() < 0.02
    assert np.abs(local_contrast_raised(RAMP, 0.28, np.random.default_rng(0)) - RAMP).mean() < 0.2


def test_only_so_many_grey_values_are_left() -> None:
    assert len(np.unique(posterised(RAMP, 16))) == 16
