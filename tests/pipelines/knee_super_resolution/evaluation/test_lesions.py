"""The small-lesion test."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.knee_super_resolution.evaluation.lesions import injected, judge_lesions
from pipelines.knee_super_resolution.training.volumes import ThinVolume

torch.set_num_threads(1)


def test_foci_are_no_larger_than_a_thick_slice_and_where_the_labels_say() -> None:
    volume = ThinVolume("flat", "flat", np.full((48, 48, 48), 0.4, np.float32), (1.0, 1.0, 1.0))
    changed, labels = injected(volume, 0, 4, np.random.default_rng(0), count=5)
    assert labels.max() == 5
    for number in range(1, 6):
        where = np.argwhere(labels == number)
        assert np.ptp(where[:, 0]) + 1 <= 4 + 1  # a sphere across 4 slices may touch a fifth
        assert (np.abs(changed.array - 0.4)[labels == number] > 0.05).all()
    assert np.abs(changed.array - 0.4)[labels == 0].max() < 0.25  # soft edges only


def test_foci_on_a_plain_ground_are_seen_and_nothing_is_made_up() -> None:
    volume = ThinVolume("flat", "flat", np.full((48, 48, 48), 0.4, np.float32), (1.0, 1.0, 1.0))
    random = np.random.default_rng(4)
    noisy = ThinVolume(
        "n", "n", volume.array + random.normal(0, 0.01, volume.array.shape).astype(np.float32), (1, 1, 1)
    )
    (judged,) = judge_lesions(noisy, 0, 2, ["tricubic"])
    assert judged.foci == judged.seen
    assert judged.foci > 10
    assert judged.false_structure < 1.0


def test_foci_that_the_truth_hides_do_not_count() -> None:
    stripes = np.where(np.arange(48)[None, None, :] % 6 < 3, 0.1, 0.9) * np.ones((48, 48, 48))
    volume = ThinVolume("stripes", "stripes", stripes.astype(np.float32), (1.0, 1.0, 1.0))
    _, labels = injected(volume, 0, 2, np.random.default_rng([0, 0, 2]))
    (judged,) = judge_lesions(volume, 0, 2, ["tricubic"])
    assert 0 <= judged.seen <= judged.foci < labels.max() // 2
