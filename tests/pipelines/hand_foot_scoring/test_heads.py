"""What the numbers of a head stand for."""

from __future__ import annotations

import pytest
import torch

from pipelines.hand_foot_scoring.heads import distribution


def test_cumulative_heads_stand_for_a_distribution() -> None:
    certain = torch.tensor([[9.0, 9.0, -9.0, -9.0]])  # above 0, above 1, not above 2
    p = distribution("coral", certain, 4)[0]
    assert int(p.argmax()) == 2
    crossed = distribution("coral", torch.tensor([[-1.0, 2.0, 0.5, -3.0]]), 4)
    assert float(crossed.min()) >= 0
    assert float(crossed.sum()) == pytest.approx(1.0)
