"""The networks on a device, behind MONAI's interface; importing this imports MONAI, so a bundle's config names it."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, TypeVar

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from pipelines.device import autocast, resolved, with_fallback
from pipelines.hand_foot_scoring.network import Damage, Graded, Localiser, Seen, graded, seen

Made = TypeVar("Made", Seen, Graded)


class DeviceInferer(Inferer):  # type: ignore[misc]  # MONAI has no types
    """Runs a network on a device, and where its memory ends on smaller batches, and on the CPU at last.

    Parameters
    ----------
    device
        Name of a device, see `pipelines.device`.
    """

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.device = resolved(device)
        self.remark = ""  # what had to be done otherwise since it was last emptied, in a sentence for the report

    def on_device(self, network: nn.Module, count: int, part: Callable[[torch.device, slice], Made]) -> list[Made]:
        """What `part` makes of each batch of the rows 0 to `count`, on the device that has room for it."""

        def work(device: torch.device, share: float) -> list[Made]:
            if next(network.parameters()).device != device:
                network.to(device)
            size = max(1, ceil(count * share))
            with autocast(device):
                return [part(device, slice(start, start + size)) for start in range(0, count, size)]

        made, remark = with_fallback(work, self.device)
        self.remark = remark or self.remark
        return made


class LocaliserInferer(DeviceInferer):
    """Canvases (N, 2, 256, 192) to the probabilities that the localiser sees, on the CPU."""

    def __call__(self, inputs: Tensor, network: Localiser, *_args: Any, **_kwargs: Any) -> Seen:
        """Class maps (N, CLASSES, 128, 96), poses (N, OTHER_POSE + 1) and signs (N, 2) of canvases."""

        def part(device: torch.device, rows: slice) -> Seen:
            return Seen(*(value.float().cpu() for value in seen(inputs[rows].to(device), network)))

        made = self.on_device(network, len(inputs), part)
        return made[0] if len(made) == 1 else Seen(*(torch.cat(values) for values in zip(*made, strict=True)))


class DamageInferer(DeviceInferer):
    """Crops (N, 1, 64, 64) with their site classes (N,) to features and the heads' raw numbers, on the CPU."""

    def __call__(self, inputs: Tensor, network: Damage, *args: Any, **_kwargs: Any) -> Graded:
        """Features (N, 96) and raw numbers of every head; the one further argument is the site classes."""
        (sites,) = args

        def part(device: torch.device, rows: slice) -> Graded:
            made = graded(inputs[rows].to(device), network, sites[rows].to(device))
            return Graded(made.features.float().cpu(), {name: v.float().cpu() for name, v in made.raw.items()})

        made = self.on_device(network, len(inputs), part)
        if len(made) == 1:
            return made[0]
        return Graded(
            torch.cat([one.features for one in made]),
            {name: torch.cat([one.raw[name] for one in made]) for name in made[0].raw},
        )
