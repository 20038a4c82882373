"""The networks behind MONAI's interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer

from pipelines.device import UnusableDevice
from pipelines.knee_super_resolution.deepresolve import DeepResolve, TrainedNetworks
from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.inferer import REMARK, DeepResolveInferer, ThinSliceInferer
from pipelines.knee_super_resolution.network import Geometry, ThinSliceNet

torch.set_num_threads(1)


@pytest.fixture
def inferer(tmp_path: Path) -> ThinSliceInferer:
    (tmp_path / "calibration.json").write_text('{"2": 1.0, "8": 2.0}')
    return ThinSliceInferer(str(tmp_path / "calibration.json"), "cpu")


@pytest.fixture
def network() -> ThinSliceNet:
    torch.manual_seed(0)
    return ThinSliceNet(8, 1)


def slices(spacing: float = 4.0) -> MetaTensor:
    """One stack of six slices, `spacing` mm apart, with pixels of 1 x 0.8 mm."""
    values = torch.from_numpy(np.random.default_rng(0).random((1, 1, 6, 12, 10), dtype=np.float32))
    made = MetaTensor(values, affine=torch.diag(torch.tensor([spacing, 1.0, 0.8, 1.0])).double())
    made.meta["scale"] = 7.0
    return made


def test_it_is_an_inferer_of_monai(inferer: ThinSliceInferer) -> None:
    assert isinstance(inferer, Inferer)


def test_where_nothing_else_is_said_thin_slices_are_as_far_apart_as_pixels(
    inferer: ThinSliceInferer, network: ThinSliceNet
) -> None:
    made = inferer(slices(), network)
    assert tuple(made.shape) == (1, 2, 21, 12, 10)
    assert np.allclose(np.asarray(made.affine).reshape(4, 4), np.diag([1.0, 1.0, 0.8, 1.0]))
    assert (made.meta["scale"], made.meta[REMARK]) == (7.0, [""])
    geometry = Geometry(4.0 * np.arange(6), np.arange(21.0), SliceProfile("gaussian"), float(4 / np.sqrt(0.8)))
    asked = inferer(slices().as_tensor(), network, geometry)
    assert torch.equal(asked.as_tensor(), made.as_tensor())


def test_more_than_eight_slices_are_not_made_of_one(inferer: ThinSliceInferer, network: ThinSliceNet) -> None:
    assert inferer(slices(16.0), network).shape[2] == 5 * 8 + 1


def test_the_core_is_made_ready_once(inferer: ThinSliceInferer, network: ThinSliceNet) -> None:
    assert inferer.restorer(network) is inferer.restorer(network)
    assert inferer.restorer(ThinSliceNet(8, 1)) is not inferer.restorer(network)


def test_the_published_network_gives_no_spread() -> None:
    torch.manual_seed(0)
    made = DeepResolveInferer("cpu")(slices(), TrainedNetworks({4.0: DeepResolve(8, 3).eval()}))
    assert tuple(made.shape) == (1, 1, 21, 12, 10)


def test_a_device_that_is_not_there_is_said_where_the_inferer_is_made() -> None:
    with pytest.raises(UnusableDevice, match="cuda:99"):
        DeepResolveInferer("cuda:99")
