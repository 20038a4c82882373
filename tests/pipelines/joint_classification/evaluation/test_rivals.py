"""The rivals are of the size of the auto-encoder and take the same images."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch

from pipelines.joint_classification.evaluation import rivals
from pipelines.joint_classification.geometry import SIZE_2D, SIZE_3D
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_rivals_are_of_the_size_of_the_encoder(dimensions: Literal[2, 3]) -> None:
    def size(network: Any) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    own = size(ConvolutionalSupervisedAutoEncoder(dimensions).encoder)
    assert 0.5 * own < size(rivals.resnet(dimensions)) < 1.5 * own
    assert 0.4 * own < size(rivals.densenet(dimensions)) < 1.5 * own


@pytest.mark.parametrize(("dimensions", "shape"), [(2, SIZE_2D), (3, SIZE_3D)])
def test_the_rivals_take_what_the_auto_encoder_takes(dimensions: Literal[2, 3], shape: Any) -> None:
    for make in (rivals.resnet, rivals.densenet):
        with torch.inference_mode():
            assert make(dimensions).eval()(torch.zeros(1, 1, *shape)).shape == (1, 3)
