"""The networks have the shapes that they say."""

from __future__ import annotations

import torch

from pipelines.hand_foot_scoring.canvas import CANVAS
from pipelines.hand_foot_scoring.network import OTHER_POSE, Damage, Localiser
from pipelines.hand_foot_scoring.sites import CLASSES


def test_the_networks_have_the_shapes_they_say() -> None:
    mask, pose, signs = Localiser().eval()(torch.zeros(2, 2, *CANVAS))
    assert mask.shape == (2, CLASSES, CANVAS[0] // 2, CANVAS[1] // 2)
    assert pose.shape == (2, OTHER_POSE + 1)
    assert signs.shape == (2, 2)
    raw = Damage().eval()(torch.zeros(3, 1, 64, 64), torch.tensor([1, 5, 28]))
    assert {name: value.shape[1] for name, value in raw.items()} == {
        "hand_erosion": 6,
        "foot_erosion": 11,
        "narrowing": 5,
        "state": 4,
        "plates": 1,
    }
