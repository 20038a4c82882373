"""What the networks see of an image, and a map brought back onto it."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.joint_classification.geometry import SIZE_2D
from pipelines.joint_classification.prepare import bone_mask, normalise, spread_over
from pipelines.joint_classification.simulation import metacarpal


def test_gain_and_brightness_drop_out_of_the_input() -> None:
    image = np.random.default_rng(0).random((128, 160))
    np.testing.assert_allclose(normalise(image, (128, 160)), normalise(3 * image + 7, (128, 160)), atol=1e-4)


def test_a_map_comes_back_to_where_the_network_saw_it() -> None:
    heat = np.zeros(SIZE_2D, np.float32)
    heat[40:44, 100:104] = 1.0
    whole = spread_over(heat, (256, 320))
    assert whole.shape == (256, 320)
    assert np.unravel_index(whole.argmax(), whole.shape) == pytest.approx((84, 204), abs=8)
    assert whole[2 * SIZE_2D[0] + 2 :].max() == 0.0


def test_the_mask_of_a_scan_is_one_filled_bone() -> None:
    case = metacarpal.simulate(np.random.default_rng(4), "healthy", 0, motion=1, step=2)
    mask = bone_mask(case.image)
    middle = mask.shape[0] // 2
    assert mask[middle, mask.shape[1] // 2, mask.shape[2] // 2]  # trabecular holes are filled
    assert not mask[middle, 0, 0]
    assert 0.1 < mask.mean() < 0.6
