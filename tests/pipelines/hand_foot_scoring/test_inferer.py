"""The networks on a device: as on the processor, and on smaller batches where the memory ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.hand_foot_scoring.inferer import DamageInferer, LocaliserInferer
from pipelines.hand_foot_scoring.network import Damage, Graded, Localiser, Seen, graded, seen

TOLERANCE = 0.05  # of probabilities and of raw numbers over their spread: what products of 16 bits leave


class SmallMemory(Localiser):
    """A localiser whose device holds a number of canvases."""

    room = 2

    def forward(self, canvas: Tensor) -> Seen:
        if len(canvas) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(canvas)


@pytest.fixture
def canvases() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((5, 2, 256, 192), dtype=np.float32))


def crops() -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.normal(size=(7, 1, 64, 64)).astype(np.float32)), torch.arange(1, 8)


@torch.inference_mode()
def test_on_the_processor_an_inferer_gives_what_the_network_gives(canvases: Tensor) -> None:
    torch.manual_seed(0)
    localiser, damage = Localiser().eval(), Damage().eval()
    assert all(map(torch.equal, LocaliserInferer("cpu")(canvases, localiser), seen(canvases, localiser)))
    images, sites = crops()
    ours, plain = DamageInferer("cpu")(images, damage, sites), graded(images, damage, sites)
    assert torch.equal(ours.features, plain.features)
    assert ours.raw.keys() == plain.raw.keys()
    assert all(torch.equal(ours.raw[name], plain.raw[name]) for name in plain.raw)


@torch.inference_mode()
def test_where_memory_ends_smaller_batches_are_tried_and_said(canvases: Tensor) -> None:
    torch.manual_seed(0)
    network, inferer = SmallMemory().eval(), LocaliserInferer("cpu")
    found = inferer(canvases, network)
    network.room = 5
    for small, whole in zip(found, seen(canvases, network), strict=True):
        torch.testing.assert_close(small, whole, atol=1e-5, rtol=1e-4)
    assert "smaller" in inferer.remark


@torch.inference_mode()
def test_a_network_that_not_even_one_canvas_fits_beside_is_an_error(canvases: Tensor) -> None:
    network = SmallMemory().eval()
    network.room = 0
    with pytest.raises(torch.OutOfMemoryError):
        LocaliserInferer("cpu")(canvases, network)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use")
@torch.inference_mode()
def test_a_gpu_gives_what_the_processor_gives(canvases: Tensor) -> None:
    torch.manual_seed(0)
    localiser, damage = Localiser().eval(), Damage().eval()
    images, sites = crops()
    here: tuple[Seen, Graded] = seen(canvases, localiser), graded(images, damage, sites)
    for ours, plain in zip(LocaliserInferer("cuda")(canvases, localiser), here[0], strict=True):
        torch.testing.assert_close(ours, plain, atol=TOLERANCE, rtol=0)
    found = DamageInferer("cuda")(images, damage, sites)
    for name, plain in here[1].raw.items():
        torch.testing.assert_close(found.raw[name], plain, atol=TOLERANCE * float(plain.std()), rtol=TOLERANCE)
