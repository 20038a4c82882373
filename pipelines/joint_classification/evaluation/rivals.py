"""Plain classifiers of about the auto-encoder's size, from MONAI, to be measured beside it."""

from __future__ import annotations

from monai.networks.nets import DenseNet, ResNet
from torch import nn

from pipelines.joint_classification.classes import CLASSES


def resnet(spatial_dims: int) -> nn.Module:
    """A residual network with one block a stage: some 100 000 weights in 2-D, three times as many in 3-D."""
    network: nn.Module = ResNet(
        "basic",
        [1, 1, 1, 1],
        [12, 24, 40, 64],
        spatial_dims=spatial_dims,
        n_input_channels=1,
        num_classes=len(CLASSES),
        conv1_t_size=5,
        conv1_t_stride=2,
    )
    return network


def densenet(spatial_dims: int) -> nn.Module:
    """A densely connected network: some 140 000 weights in 2-D, twice as many in 3-D."""
    blocks = (3, 4, 5, 4) if spatial_dims == 2 else (4, 6, 6)  # a volume of 24 slices cannot be halved once more
    network: nn.Module = DenseNet(spatial_dims, 1, len(CLASSES), init_features=16, growth_rate=12, block_config=blocks)
    return network
