"""One network for every ratio, consistent with what was acquired and blind to brightness."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.knee_super_resolution.deepresolve import DeepResolve
from pipelines.knee_super_resolution.degradation import ProfileKind, SliceProfile, forward_matrix
from pipelines.knee_super_resolution.network import Geometry, ThinSliceNet

torch.set_num_threads(1)


def geometry(ratio: float, slices: int = 6, kind: ProfileKind = "gaussian") -> Geometry:
    coarse = ratio * np.arange(slices)
    return Geometry(coarse, np.arange(int(coarse[-1] + 1e-9) + 1, dtype=float), SliceProfile(kind), ratio)


@pytest.fixture(scope="module")
def network() -> ThinSliceNet:
    torch.manual_seed(0)
    return ThinSliceNet(channels=8, blocks=2).eval()


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.7, 8.0])
def test_one_network_serves_every_ratio(network: ThinSliceNet, ratio: float) -> None:
    asked = geometry(ratio)
    with torch.no_grad():
        thin, spread = network(torch.rand(2, 6, 12, 10), asked)
    assert thin.shape == spread.shape == (2, len(asked.fine), 12, 10)
    assert bool((spread > 0).all())


@pytest.mark.parametrize("kind", ["gaussian", "boxcar", "fir"])
def test_the_result_thickened_again_is_what_was_acquired(network: ThinSliceNet, kind: ProfileKind) -> None:
    asked = geometry(4.0, kind=kind)
    thick = 0.5 + 0.1 * torch.rand(1, 6, 12, 10)
    with torch.no_grad():
        thin, _ = network(thick, asked)
    again = np.einsum("cf,fhw->chw", forward_matrix(asked.fine, asked.coarse, asked.profile), thin[0].numpy())
    assert np.abs(again - thick[0].numpy()).max() < 2e-3  # the projection's ridge leaves a little


def test_a_brighter_or_offset_image_gives_the_same_detail(network: ThinSliceNet) -> None:
    asked = geometry(3.0)
    thick = torch.rand(1, 6, 12, 10)
    with torch.no_grad():
        once, _ = network(thick, asked)
        other, _ = network(0.4 * thick + 0.3, asked)
    assert torch.allclose(other, 0.4 * once + 0.3, atol=1e-5)


def test_turning_the_head_off_leaves_the_projected_spline() -> None:
    network = ThinSliceNet(channels=8, blocks=1)
    torch.nn.init.zeros_(network.head.weight)
    asked = geometry(2.0)
    ramp = (0.2 + 0.05 * torch.arange(6.0))[None, :, None, None].expand(1, 6, 8, 8)
    with torch.no_grad():
        thin, _ = network(ramp, asked)
    expected = 0.2 + 0.025 * torch.arange(11.0)
    assert torch.allclose(thin[0, :, 4, 4], expected, atol=1e-5)


@pytest.mark.parametrize("ratio", [2, 3, 4, 8])
def test_ours_costs_a_tenth_of_deepresolve_or_less(ratio: int) -> None:
    assert ThinSliceNet().multiply_adds(ratio) <= DeepResolve().multiply_adds() / 10


def test_one_row_of_the_flattened_network_stands_for_rows_that_are_all_alike(network: ThinSliceNet) -> None:
    asked = geometry(4.0)
    row = torch.rand(1, 6, 1, 12)
    with torch.no_grad():
        flat, _ = network.flattened().features(row, asked.conditions())
        whole, _ = network.features(row.expand(1, 6, 21, 12), asked.conditions())
    assert torch.allclose(flat[:, :, :, 0], whole[:, :, :, 10], atol=1e-5)  # ten rows away from the border
