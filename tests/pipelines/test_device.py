"""`pipelines.device`."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from pipelines.device import DeviceSettings, UnusableDevice, autocast, described, resolved, with_fallback

NO_GPU = "no GPU that PyTorch can use on this machine"
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


class Hungry(nn.Module):
    """Has room for so many voxels at once."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.given = room, [0]

    def forward(self, x: Tensor) -> Tensor:
        """Twice what is given."""
        self.given.append(x.numel())
        if x.numel() > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * x


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cpu:0", "AUTO", "cuda:0 "])
def test_a_setting_that_names_no_device_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="should be auto, cpu, cuda or cuda:N"):
        DeviceSettings(device=name)


def test_a_device_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UnusableDevice, match=r"cuda:99: is not on this machine.*use auto or cpu"):
        resolved("cuda:99")
    with pytest.raises(UnusableDevice, match="should be auto"):
        resolved("tpu")


def test_auto_is_a_gpu_where_there_is_one() -> None:
    assert resolved("cpu") == CPU
    assert resolved("auto") == (GPU if torch.cuda.is_available() else CPU)


def test_the_parameters_of_a_report_name_the_device_that_was_meant() -> None:
    assert DeviceSettings().as_parameters() == (("device", described(resolved("auto"))),)


def test_settings_are_read_without_torch() -> None:
    code = "import sys, pipelines.device as d; d.DeviceSettings(device='cuda:1'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_cpu_computes_as_it_is_told() -> None:
    with autocast(CPU):
        assert torch.ones(2, 2).mm(torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
def test_a_gpu_computes_in_half_precision() -> None:
    ones = torch.ones(2, 2, device=GPU)
    with autocast(GPU):
        assert ones.mm(ones).dtype in (torch.bfloat16, torch.float16)


def in_tiles(network: nn.Module, x: Tensor, share: float) -> Tensor:
    """A network's answer to a line, a piece at a time."""
    return torch.cat([network(piece) for piece in torch.split(x, int(len(x) * share))])


@pytest.mark.parametrize(
    ("room", "largest", "remark"),
    [(64, 64, ""), (63, 32, "smaller ones"), (16, 16, "smaller ones")],
)
def test_where_memory_ends_tiles_are_made_smaller_and_the_answer_is_the_same(
    room: int, largest: int, remark: str
) -> None:
    network, x = Hungry(room), torch.arange(64.0)
    made, said = with_fallback(lambda _, share: in_tiles(network, x, share), CPU)
    assert torch.equal(made, 2 * x)
    assert network.given[-1] == largest
    assert said.endswith("computed in smaller ones.") if remark else not said


def test_what_no_tile_is_small_enough_for_is_computed_on_the_cpu_in_the_usual_tiles() -> None:
    x, asked = torch.arange(64.0), []

    def work(device: torch.device, share: float) -> Tensor:
        asked.append((device.type, share))
        return in_tiles(Hungry(64 if device.type == "cpu" else 1), x, share)

    made, remark = with_fallback(work, GPU)
    assert torch.equal(made, 2 * x)
    assert asked == [("cuda", 1), ("cuda", 0.5), ("cuda", 0.25), ("cuda", 0.125), ("cpu", 1)]
    assert remark == "The memory of cuda:0 did not hold even small tiles: computed on the CPU."


def test_where_the_cpu_has_no_room_either_the_error_is_that() -> None:
    network, x = Hungry(1), torch.arange(64.0)
    with pytest.raises(torch.OutOfMemoryError):
        with_fallback(lambda _, share: in_tiles(network, x, share), GPU)


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    def work(device: torch.device, share: float) -> Tensor:
        raise ValueError(f"{device} {share}")

    with pytest.raises(ValueError, match=r"cuda:0 1\.0"):
        with_fallback(work, GPU)
