"""Disturbed and made-up joints: unlike what they came from, and the same for the same seed."""

import numpy as np
import pytest

from pipelines.joint_classification.geometry import HEIGHT, WIDTH
from pipelines.joint_classification.simulation import metacarpal, ultrasound
from pipelines.joint_classification.simulation.disturb import disturbed, disturbed_volume, made_up


@pytest.mark.parametrize("seed", range(4))
def test_a_disturbed_picture_is_changed_in_a_part_of_it(seed: int) -> None:
    rng = np.random.default_rng(1)
    image, other = (ultrasound.simulate(rng, "healthy", 0).image for _ in range(2))
    one, again = (disturbed(np.random.default_rng(seed), image, other) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert 0 <= one.min() < one.max() <= 1
    assert 0.001 < (np.abs(one - image) > 0.05).mean() < 0.6


def test_a_disturbed_volume_keeps_its_shape_and_range() -> None:
    rng = np.random.default_rng(1)
    image, other = (metacarpal.simulate(rng, "healthy", 0, step=2).image for _ in range(2))
    one = disturbed_volume(np.random.default_rng(0), image, other)
    assert one.shape == image.shape
    assert 0 <= one.min() < one.max() <= 1
    assert np.abs(one - image).max() > 0.1


def test_a_made_up_joint_is_a_picture_of_the_simulator() -> None:
    first, second = (made_up(np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (HEIGHT, WIDTH)
    assert np.isfinite(first).all()


def test_a_mask_of_the_bone_is_disturbed_too() -> None:
    mask = np.zeros((12, 16, 16), np.float32)
    mask[2:10, 4:14, 4:14] = 1.0  # over a fifth of the volume: nothing is brighter than its brightest fifth
    made = disturbed_volume(np.random.default_rng(0), mask, mask[::-1])
    assert made.shape == mask.shape
    assert np.abs(made - mask).max() > 0.05
