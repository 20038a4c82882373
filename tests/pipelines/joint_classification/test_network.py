"""The auto-encoder: shapes in two and three dimensions, its loss, and that it learns."""

from typing import Any, Literal

import pytest
import torch

from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder


@pytest.mark.parametrize("size", [(128, 160), (33, 47), (80, 32, 32), (48, 20, 28)])
def test_the_drawing_is_as_large_as_the_picture_even_where_halving_leaves_a_rest(size: Any) -> None:
    network = ConvolutionalSupervisedAutoEncoder(2 if len(size) == 2 else 3).eval()
    x = torch.rand(1, 1, *size)
    output = network.inspect(x)[0]
    assert output.reconstruction.shape == x.shape
    assert output.logits.shape == (1, 3)
    torch.testing.assert_close(network(x), output.logits)


def test_going_on_from_any_stage_gives_the_same_answer() -> None:
    network = ConvolutionalSupervisedAutoEncoder(2).eval()
    x = torch.rand(2, 1, 48, 40)
    for number, feature in enumerate(network.down(x)):
        torch.testing.assert_close(network.logits_from(feature, number), network.logits(x))


def test_drawing_a_part_of_a_batch_draws_that_part_as_with_all() -> None:
    network = ConvolutionalSupervisedAutoEncoder(2).eval()
    x = torch.rand(3, 1, 48, 40)
    some, _ = network.inspect(x, 2)
    torch.testing.assert_close(some.reconstruction, network.inspect(x)[0].reconstruction[:2])
    assert some.logits.shape == (3, 3)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_weights_stay_under_four_megabytes(spatial_dims: Literal[2, 3]) -> None:
    network = ConvolutionalSupervisedAutoEncoder(spatial_dims)
    assert sum(p.numel() * p.element_size() for p in network.parameters()) < 4 * 2**20
