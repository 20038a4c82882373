"""The localiser: what it is shown, what its loss counts, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.hand_foot_scoring.canvas import CANVAS
from pipelines.hand_foot_scoring.network import OTHER_POSE
from pipelines.hand_foot_scoring.sites import CLASSES
from pipelines.hand_foot_scoring.training.localiser import Samples, mask_loss, rate, sample, train_localiser


def test_a_sample_has_a_mask_only_where_the_limb_stands_upright() -> None:
    masked = 0
    for seed in range(12):
        canvas, mask, pose = sample(np.random.default_rng(seed))
        assert canvas.shape == (2, *CANVAS)
        assert 0 <= pose <= OTHER_POSE
        if pose not in (0, 8, OTHER_POSE):  # turned or mirrored
            assert (mask == 255).all()
        else:
            masked += bool((mask < 255).any())
    assert masked >= 4


def test_samples_repeat_for_the_same_seed() -> None:
    first, again = (next(iter(Samples(3))) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])


def test_ignored_pixels_do_not_count_in_the_mask_loss() -> None:
    logits = torch.randn(1, CLASSES, 8, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 8, 8, dtype=torch.long)
    mask[0, 2:4, 2:4] = 5
    mask[0, 6] = 255
    before = mask_loss(logits, mask)
    logits[:, :, 6] += 100 * torch.randn(1, CLASSES, 8)
    torch.testing.assert_close(mask_loss(logits, mask), before)


def test_the_localiser_learns() -> None:
    losses: list[float] = []
    train_localiser(0, 52, batch=1, report=lambda step, loss: losses.append(loss))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(("step", "share"), [(0, 0.04), (25, 1.0), (59, 1.0), (80, 0.5), (100, 0.0)])
def test_the_learning_rate_rises_stays_and_falls_to_nothing(step: int, share: float) -> None:
    assert rate(step, 100) == pytest.approx(share, abs=1e-9)
