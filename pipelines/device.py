"""Where a network computes: the setting, the device that it means on this machine, and what is done where memory ends.

Importing this module brings in no torch: settings are read by processes that compute nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator

from pipelines.base import PipelineSettings

if TYPE_CHECKING:
    import torch

MEMORY_LIMIT = "CONDYLE_GPU_MEMORY_LIMIT_MB"  # variable: how much of a GPU's memory this process may take
SHARES = (1.0, 0.5, 0.25, 0.125)  # of the usual size of a tile or batch, tried in this order
Made = TypeVar("Made")


class UnusableDevice(ValueError):
    """This machine has no such device."""


def device_name(text: str) -> str:
    """The name of a device, as it is given: auto, cpu, cuda or cuda:N.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", text):
        raise ValueError(f"{text!r}: should be auto, cpu, cuda or cuda:N, such as cuda:0")
    return text


class DeviceSettings(PipelineSettings):
    """Base of the settings of a pipeline that computes with torch: on which device."""

    device: Annotated[str, AfterValidator(device_name)] = "auto"  # auto: a GPU where there is one; cpu; cuda:N

    def as_parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each setting in words; of the device, what it means on this machine."""
        return tuple(
            (name, self._device_in_words() if name == "device" else value) for name, value in super().as_parameters()
        )

    def _device_in_words(self) -> str:
        return "cpu" if self.device == "cpu" else described(resolved(self.device))


def resolved(name: str) -> torch.device:
    """The device that a name means on this machine.

    Raises
    ------
    UnusableDevice
        If it is not there, or the name is none.
    """
    import torch

    try:
        device_name(name)
    except ValueError as error:
        raise UnusableDevice(str(error)) from None
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    number = int(name.partition(":")[2] or 0)
    if number >= there:
        known = ", ".join(f"cuda:{each}" for each in range(there)) or "no GPU that PyTorch can use"
        raise UnusableDevice(f"{name}: is not on this machine, which has {known}; use auto or cpu")
    device = torch.device("cuda", number)
    if limit := os.environ.get(MEMORY_LIMIT):
        whole = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, int(limit) * 2**20 / whole), device)
    return device


def described(device: torch.device) -> str:
    """The device in words for a report, such as `cuda:0 (NVIDIA L4)`."""
    if device.type != "cuda":
        return str(device)
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Half precision on a GPU: bfloat16 where it has that, else float16; on the CPU nothing is changed.

    On the CPU each pipeline knows the format that it was measured to be fast in.
    """
    if device.type != "cuda":
        return nullcontext()
    import torch

    return torch.autocast("cuda", dtype=torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)


def with_fallback(
    work: Callable[[torch.device, float], Made], device: torch.device, shares: Sequence[float] = SHARES
) -> tuple[Made, str]:
    """What `work` makes on a device; where its memory ends, in smaller tiles, and on the CPU at last.

    Parameters
    ----------
    work
        Given the device and the share of the usual size of a tile or batch.
    device
        To begin with.
    shares
        Tried in this order.

    Returns
    -------
    tuple
        What was made, and a remark for the report; empty where nothing had to be changed.

    Raises
    ------
    torch.OutOfMemoryError
        If the CPU's own memory ends too.
    """
    import torch

    attempts = [(device, share) for share in shares]
    if device.type != "cpu":
        attempts.append((torch.device("cpu"), 1.0))
    for number, (where, share) in enumerate(attempts):
        try:
            return work(where, share), _remark(device, where, share)
        except torch.OutOfMemoryError:
            if number == len(attempts) - 1:
                raise
        # outside the handler: its traceback would keep alive what has to make room
        if device.type == "cuda" and torch.cuda.is_available():
            torch.cuda.empty_cache()
    raise AssertionError("there is always an attempt")


def _remark(device: torch.device, where: torch.device, share: float) -> str:
    if where != device:
        return f"The memory of {device} did not hold even small tiles: computed on the CPU."
    return "" if share == 1 else f"The memory of {device} did not hold the usual tiles: computed in smaller ones."
