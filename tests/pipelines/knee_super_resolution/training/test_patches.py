"""Patches to learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.training.patches import Degradation, degrade_batch, patch_transforms
from pipelines.knee_super_resolution.training.volumes import ThinVolume


def test_degradations_cover_every_ratio_and_profile() -> None:
    drawn = [Degradation.draw(np.random.default_rng(seed)) for seed in range(300)]
    ratios = [each.ratio for each in drawn]
    assert 1.5 <= min(ratios) < 1.7
    assert 7.5 < max(ratios) <= 8.0
    assert {each.profile.kind for each in drawn} == {"fir", "gaussian", "boxcar"}
    assert any(each.noise > 0 for each in drawn)


def test_a_patch_has_the_wanted_size_even_where_the_volume_is_smaller() -> None:
    volume = ThinVolume("v", "v", np.random.default_rng(0).random((30, 50, 44), dtype=np.float32), (1.0, 1.0, 1.0))
    transform = patch_transforms(40, 24)
    transform.set_random_state(seed=1)
    drawn = transform({"thin": volume})
    assert tuple(drawn["thin"].shape) == (1, 40, 24, 24)
    assert drawn["step_over_pixel"] == pytest.approx(1.0)


def test_a_ramp_that_is_made_thick_keeps_its_values_at_the_slices() -> None:
    ramp = torch.arange(33.0)[None, None, :, None, None].expand(1, 1, 33, 4, 4)
    made = degrade_batch(ramp, Degradation(4.0, SliceProfile("gaussian"), 0.0), 0.5, np.random.default_rng(0))
    assert made.thick.shape == (1, 9, 4, 4)
    assert made.thin.shape == (1, 33, 4, 4)
    assert made.anisotropy == pytest.approx(2.0)
    assert torch.allclose(made.thick[0, :, 0, 0], torch.arange(0.0, 33.0, 4.0), atol=1e-4)


def test_some_patches_have_slices_twice_as_far_apart() -> None:
    line = np.linspace(0.2, 1.0, 80, dtype=np.float32)
    volume = ThinVolume("v", "v", np.broadcast_to(line[:, None, None], (80, 80, 80)).copy(), (1.0, 1.0, 1.0))
    transform = patch_transforms(40, 24)
    seen = set()
    for seed in range(24):
        transform.set_random_state(seed=seed)
        drawn = transform({"thin": volume})
        assert tuple(drawn["thin"].shape) == (1, 40, 24, 24)
        seen.add(round(float(drawn["step_over_pixel"]), 3))
    assert seen == {1.0, 2.0}
