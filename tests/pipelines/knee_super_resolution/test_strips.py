"""Features in strips of rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.network import Geometry, ThinSliceNet
from pipelines.knee_super_resolution.strips import features_in_strips


def conditions() -> torch.Tensor:
    return Geometry(3.0 * np.arange(6), np.arange(16.0), SliceProfile("boxcar", 0.9), 3.0).conditions()


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 12, 18, 19, 40])
def test_features_do_not_depend_on_the_rows_of_a_strip(rows: int) -> None:
    torch.manual_seed(0)
    network = ThinSliceNet(channels=8, blocks=3).eval()
    for block in network.body:
        torch.nn.init.normal_(block.scale.weight, std=0.3)  # type: ignore[union-attr, arg-type]
    thick = torch.rand(1, 6, 19, 11)
    with torch.inference_mode():
        expected = network.features(thick, conditions())
        made = features_in_strips(network, thick, conditions(), rows)
    for ours, theirs in zip(made, expected, strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_strips_keep_the_number_format_of_the_weights() -> None:
    torch.manual_seed(1)
    network = ThinSliceNet(channels=8, blocks=1).eval()
    thick = torch.rand(1, 5, 30, 9)
    with torch.inference_mode():
        exact = features_in_strips(network, thick, conditions())[0]
        for layer in (network.head, network.body[0].first, network.body[0].second):
            layer.to(torch.bfloat16)
        rounded, plain = features_in_strips(network, thick, conditions())[0], network.features(thick, conditions())[0]
    assert rounded.dtype == torch.float32
    assert 0 < float((rounded - exact).abs().max()) < 0.03 * float(exact.abs().max())
    assert torch.allclose(rounded, plain, atol=0.01 * float(exact.abs().max()))
