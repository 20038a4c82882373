"""What the numbers of a head stand for."""

from __future__ import annotations

import pytest
import torch

from pipelines.hand_foot_scoring.heads import LOSSES, Loss, distribution, log_distribution, outputs


def test_cumulative_heads_stand_for_a_distribution() -> None:
    certain = torch.tensor([[9.0, 9.0, -9.0, -9.0]])  # above 0, above 1, not above 2
    p = distribution("coral", certain, 4)[0]
    assert int(p.argmax()) == 2
    crossed = distribution("coral", torch.tensor([[-1.0, 2.0, 0.5, -3.0]]), 4)
    assert float(crossed.min()) >= 0
    assert float(crossed.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_calibration_is_given_a_distribution_of_every_loss(loss: Loss) -> None:
    raw = torch.randn(5, outputs(loss, 4), generator=torch.Generator().manual_seed(0))
    logarithms = log_distribution(loss, raw, 4)
    assert logarithms.shape == (5, 5)
    torch.testing.assert_close(logarithms.exp().sum(dim=1), torch.ones(5), atol=1e-4, rtol=0)
