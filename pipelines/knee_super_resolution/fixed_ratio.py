"""The network at one ratio, as a function of one tensor: what MONAI's tools take a network for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.network import Geometry, ThinSliceNet


class FixedRatioNet(ThinSliceNet):
    """A network whose `forward` needs no geometry: slices of Gaussian profile, as far apart as `ratio` pixels.

    Nothing else differs, and the weights are those of any `ThinSliceNet`.

    Parameters
    ----------
    channels, blocks
        Of the network.
    ratio
        Thin slices per thick slice in `forward`.
    """

    def __init__(self, channels: int = 32, blocks: int = 5, ratio: float = 4.0) -> None:
        super().__init__(channels, blocks)
        self.ratio = ratio

    def forward(self, thick: Tensor) -> Tensor:  # type: ignore[override]
        """(N, 1, C, H, W) to the thin slices and their spread, (N, 2, F, H, W); nothing is asked of the planes."""
        coarse = self.ratio * np.arange(thick.shape[2])
        geometry = Geometry(coarse, np.arange(int(coarse[-1]) + 1.0), SliceProfile("gaussian"), self.ratio)
        return torch.stack(super().forward(thick[:, 0], geometry), dim=1)
