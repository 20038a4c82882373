"""Maps: ours against MONAI's where it has the method, and a planted feature found by each."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from monai.visualize import GuidedBackpropGrad
from torch import nn

from pipelines.joint_classification import attention
from pipelines.joint_classification.evaluation import map_checks
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder


@pytest.fixture(scope="module")
def trained() -> ConvolutionalSupervisedAutoEncoder:
    """A network that has learnt to call a bright spot class 1, wherever it is."""
    torch.manual_seed(1)
    network = ConvolutionalSupervisedAutoEncoder(2, channels=(8, 16, 16))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    rng = np.random.default_rng(0)
    for _ in range(40):
        x, label = _spots(rng, 16)
        loss = nn.functional.cross_entropy(network.logits(x), label)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # of PyTorch
        optimiser.step()
    return network.eval()


def _spots(rng: np.random.Generator, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(rng.normal(0, 0.3, (number, 1, 48, 48)).astype(np.float32))
    label = torch.from_numpy(rng.integers(2, size=number))
    for image, one in zip(x, label, strict=True):
        if one:
            row, column = rng.integers(6, 36, 2)
            image[0, row : row + 6, column : column + 6] += 3.0
    return x, label


class _OddsOnly(nn.Module):
    """MONAI wants a module whose output is indexed by class."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.network.logits(x)
        return torch.stack([attention.odds(logits, c) for c in range(3)], dim=1)


def test_the_guided_gradient_is_that_of_monai(network: Any) -> None:
    x = torch.rand(1, 1, 32, 40)
    theirs = GuidedBackpropGrad(_OddsOnly(copy.deepcopy(network)))(x, index=2)[0].detach().numpy()
    np.testing.assert_allclose(attention.guided_gradient(network, x, 2), theirs, atol=1e-6)
    assert np.abs(theirs).max() > 0


@pytest.mark.parametrize("name", list(attention.METHODS))
def test_a_spot_that_decides_is_found(trained: Any, name: Any) -> None:
    found = 0
    for row, column in ((6, 30), (30, 8), (20, 20)):
        x = torch.from_numpy(np.random.default_rng(row).normal(0, 0.3, (1, 1, 48, 48)).astype(np.float32))
        x[0, 0, row : row + 6, column : column + 6] += 3.0
        lesion = np.zeros((48, 48), bool)
        lesion[row : row + 6, column : column + 6] = True
        found += map_checks.points_at(attention.METHODS[name](trained, x, 1), lesion, 4)
    assert found >= 2


def test_maps_leave_no_gradient_behind_and_need_none(network: Any) -> None:
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for method in attention.METHODS.values():
        assert method(network, torch.rand(1, 1, 32, 40), 1).shape == (32, 40)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_volume_has_a_map_of_its_own_shape() -> None:
    network = ConvolutionalSupervisedAutoEncoder(3, channels=(4, 4, 8)).eval()
    heat = attention.grad_cam(network, torch.rand(1, 1, 12, 20, 16), 1)
    assert heat.shape == (12, 20, 16)
    assert heat.min() >= 0


def test_a_scaled_map_runs_to_one_and_an_empty_one_stays_empty() -> None:
    assert attention.scaled(np.linspace(0, 7, 100, dtype=np.float32)).max() == pytest.approx(1.0)
    assert attention.scaled(np.zeros((4, 4), np.float32)).max() == 0.0
