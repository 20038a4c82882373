"""The known cases that are shipped."""

from __future__ import annotations

import numpy as np

from pipelines.joint_classification.training.latent_map import spread_out


def test_as_many_of_each_class_are_shipped() -> None:
    labels = np.array([0] * 50 + [1] * 200 + [2] * 90)
    assert np.bincount(labels[spread_out(labels, 120)]).tolist() == [40, 40, 40]
