"""The checks of a map of attention, counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pipelines.joint_classification.evaluation import map_checks


def test_forgetting_everything_changes_the_answer_and_forgetting_the_end_only_the_end(network: Any) -> None:
    x = torch.rand(1, 1, 32, 40)
    all_new, end_new = map_checks.randomised(network, 1), map_checks.randomised(network, 1, 0)
    assert not torch.allclose(all_new.stage(x, 0), network.stage(x, 0))
    torch.testing.assert_close(end_new.down(x)[-1], network.down(x)[-1])
    assert not torch.allclose(end_new.logits(x), network.logits(x))


def test_pointing_and_overlap_are_counted_as_by_hand() -> None:
    lesion = np.zeros((8, 8), bool)
    lesion[2:4, 2:4] = True
    heat = np.zeros((8, 8), np.float32)
    heat[2, 2:6] = [4, 3, 2, 1]  # four hottest pixels, two of them in the lesion
    assert map_checks.points_at(heat, lesion, 0)
    assert map_checks.overlap(heat, lesion) == pytest.approx(2 / 6)
    heat[7, 7] = 9
    assert not map_checks.points_at(heat, lesion, 1)
    assert not map_checks.points_at(np.zeros((8, 8), np.float32), lesion, 8)


def test_similarity_is_one_for_what_rises_alike_and_nothing_for_what_is_flat() -> None:
    one = np.random.default_rng(0).random((30, 30)).astype(np.float32)
    assert map_checks.similarity(one, one**3) == pytest.approx(1.0)
    assert map_checks.similarity(one, -one) == pytest.approx(-1.0)
    assert map_checks.similarity(one, np.ones_like(one)) == 0.0
