"""The feature extractor of detectors."""

from __future__ import annotations

import torch
from monai.networks.nets import resnet10

from pipelines.monai_bundle.feature_pyramid import CHANNELS, feature_extractor


def test_maps_come_from_the_stages_that_are_named_and_one_coarser_the_finest_first() -> None:
    network = feature_extractor(resnet10(spatial_dims=2, n_input_channels=1), 2, False, [1, 2]).eval()
    with torch.inference_mode():
        maps = network(torch.zeros(1, 1, 64, 64))
    assert [tuple(one.shape) for one in maps.values()] == [
        (1, CHANNELS, 32, 32),
        (1, CHANNELS, 16, 16),
        (1, CHANNELS, 8, 8),
    ]


def test_parameters_are_named_as_published_weights_name_them() -> None:
    names = set(feature_extractor(resnet10(spatial_dims=3, n_input_channels=1), 3, False, [1, 2]).state_dict())
    assert {"body.conv1.weight", "body.bn1.weight", "body.layer2.0.conv1.weight"} <= names
    assert {"fpn.inner_blocks.0.weight", "fpn.layer_blocks.1.bias"} <= names
    assert not any("layer3" in name for name in names)
