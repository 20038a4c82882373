"""DeepResolve, the published network that ours is compared with; it works on the interpolated volume."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DeepResolve(nn.Sequential):
    """DeepResolve as published (Chaudhari 2018): 20 layers of 64, residual to the interpolated volume.

    What is published says nothing of the weights to begin with. With the usual random ones twenty plain layers take
    thousands of steps to begin to learn, or die at an output of nothing. Here the first layer begins with kernels that
    sum to zero, so that it sees edges rather than brightness, and those between pass on what comes in, with a little
    noise (Zagoruyko 2017, "DiracNets").
    """

    def __init__(self, channels: int = 64, layers: int = 20) -> None:
        convolutions = [
            nn.Conv3d(1, channels, 3, padding=1),
            *(nn.Conv3d(channels, channels, 3, padding=1) for _ in range(layers - 2)),
            nn.Conv3d(channels, 1, 3, padding=1),
        ]
        steps = [step for each in convolutions[:-1] for step in (each, nn.ReLU())]
        super().__init__(*steps, convolutions[-1])
        first, *between, last = convolutions
        nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
        for each in convolutions:
            nn.init.zeros_(each.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            first.weight.sub_(first.weight.mean(dim=(2, 3, 4), keepdim=True)).mul_(4)
            for each in between:
                nn.init.dirac_(each.weight)
                each.weight.add_(torch.randn_like(each.weight), alpha=0.01)
            last.weight.mul_(0.1)

    def forward(self, interpolated: Tensor) -> Tensor:
        """The interpolated volume (N, 1, F, H, W) to the thin one."""
        x = interpolated.to(memory_format=torch.channels_last_3d)
        residual: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return interpolated + residual.float()

    def multiply_adds(self) -> float:
        """Per thin voxel."""
        return float(sum(each.weight.numel() for each in self.modules() if isinstance(each, nn.Conv3d)))
