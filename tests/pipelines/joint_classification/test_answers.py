"""What a network gives for images does not depend on how they are batched."""

import numpy as np
import pytest
import torch

from pipelines.joint_classification.answers import ask, drawing_statistics, stage_statistics
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder


@pytest.mark.parametrize("size", [(24, 32), (12, 16, 16)])
def test_answers_are_the_same_in_batches_and_at_once(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = ConvolutionalSupervisedAutoEncoder(2 if len(size) == 2 else 3, channels=(4, 8, 8)).eval()
    images = np.random.default_rng(0).normal(size=(5, 1, *size)).astype(np.float32)
    for one, other in zip(ask(network, images, batch=2), ask(network, images, batch=5), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_statistics_of_a_stage_are_mean_and_spread_of_each_channel() -> None:
    feature = torch.arange(12.0).reshape(1, 2, 2, 3)
    expected = torch.tensor([[2.5, 8.5, np.std(range(6), ddof=1), np.std(range(6), ddof=1)]], dtype=torch.float32)
    torch.testing.assert_close(stage_statistics(feature), expected)


def test_a_drawing_that_is_wrong_in_one_corner_is_worst_there() -> None:
    x = torch.zeros(1, 1, 16, 16)
    drawn = x.clone()
    drawn[..., :8, :8] = 1.0
    whole, worst, row = drawing_statistics(drawn, x).exp()[0].tolist()
    assert (whole, worst, row) == pytest.approx((0.25, 1.0, 0.5))
