"""The published network, its files and its tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.knee_super_resolution import deepresolve
from pipelines.knee_super_resolution.deepresolve import (
    DeepResolve,
    DeepResolveRestorer,
    TrainedNetworks,
    read_networks,
)
from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.network import Geometry


def test_it_has_twenty_layers_of_sixty_four_and_keeps_the_shape() -> None:
    torch.manual_seed(0)
    network = DeepResolve()
    kernels = [each.weight.shape for each in network if isinstance(each, torch.nn.Conv3d)]
    assert len(kernels) == 20
    assert network.multiply_adds() == 27 * (64 + 18 * 64 * 64 + 64)
    with torch.no_grad():
        assert network(torch.rand(1, 1, 6, 8, 8)).shape == (1, 1, 6, 8, 8)


def test_an_untrained_one_sees_edges_and_not_brightness() -> None:
    torch.manual_seed(0)
    network = DeepResolve().eval()
    flat = torch.full((1, 1, 48, 12, 12), 0.5)
    with torch.no_grad():
        residual = (network(flat) - flat)[0, 0, 22:26, 5:7, 5:7]  # the borders of the volume are edges
    assert float(residual.abs().max()) < 0.05


def test_deepresolve_is_the_published_layout() -> None:
    assert sum(each.numel() for each in DeepResolve().parameters()) == 1_995_329


def test_an_untrained_deepresolve_neither_loses_nor_blows_up_what_its_first_layer_sees() -> None:
    torch.manual_seed(0)
    network = DeepResolve()
    with torch.no_grad():
        features = [torch.rand(1, 1, 12, 12, 12)]
        for step in list(network)[:-1]:
            features.append(step(features[-1]))
    assert 0.5 < float(features[-1].std() / features[2].std()) < 3


def trained(ratio: float = 2.0) -> TrainedNetworks:
    torch.manual_seed(0)
    return TrainedNetworks({ratio: DeepResolve(8, 6).eval(), 8.0: DeepResolve(8, 6).eval()})


def asked(step: float = 2.0) -> tuple[torch.Tensor, Geometry]:
    """Slices without air, and where thin ones are wanted."""
    thick = torch.from_numpy(np.random.default_rng(0).random((21, 20, 18), dtype=np.float32)) + 0.1
    coarse = step * np.arange(21)
    return thick, Geometry(coarse, np.arange(int(coarse[-1]) + 1.0), SliceProfile("gaussian"), step)


@pytest.fixture
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepresolve, "fast_bfloat16", lambda: False)


@pytest.mark.usefixtures("full_precision")
def test_tiles_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = DeepResolveRestorer(trained(), torch.device("cpu"))
    whole = restorer.restored(*asked())
    monkeypatch.setattr(deepresolve, "TILE_VOXELS", 20**3)
    tiles = restorer.restored(*asked())
    assert float((whole.values - tiles.values).abs().max()) < 1e-5
    assert whole.remark == tiles.remark == ""


def test_tiles_fit_into_memory_with_their_margins() -> None:
    whole = [90, 200, 180]
    sides = deepresolve._tile(whole, 20, 500_000)
    outer = [side if side == all_of_it else side + 40 for side, all_of_it in zip(sides, whole, strict=True)]
    assert np.prod(outer) <= 500_000


@pytest.mark.usefixtures("full_precision")
def test_the_network_of_the_nearest_ratio_works_and_that_is_said() -> None:
    made = DeepResolveRestorer(trained(), torch.device("cpu")).restored(*asked(2.5))
    assert made.remark == "DeepResolve was trained for ratios of 2, 8; the one for 2 worked at 2.50."
    assert made.values.shape == (1, 51, 20, 18)


@pytest.mark.usefixtures("full_precision")
def test_air_is_left_as_interpolated() -> None:
    thick, geometry = asked()
    thick[:, :, 9:] = 0
    made = DeepResolveRestorer(trained(), torch.device("cpu")).restored(thick, geometry)
    assert float(made.values[..., 17].abs().max()) == 0


@pytest.mark.usefixtures("full_precision")
def test_where_memory_ends_it_works_in_smaller_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = trained()
    whole = DeepResolveRestorer(networks, torch.device("cpu")).restored(*asked())
    residual = DeepResolve.residual

    def hungry(network: DeepResolve, interpolated: torch.Tensor) -> torch.Tensor:
        if interpolated.numel() > 12_000:
            raise torch.OutOfMemoryError("no room")
        return residual(network, interpolated)

    monkeypatch.setattr(DeepResolve, "residual", hungry)
    monkeypatch.setattr(deepresolve, "TILE_VOXELS", 24_000)
    made = DeepResolveRestorer(networks, torch.device("cpu")).restored(*asked())
    assert made.remark == "The memory of cpu did not hold the usual tiles: computed in smaller ones."
    assert float((whole.values - made.values).abs().max()) < 1e-5


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no deepresolve_\*\.safetensors"):
        read_networks(tmp_path)
