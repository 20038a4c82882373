"""The network, which works on the acquired slices, and the geometry that turns its coefficients into thin slices."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipelines.knee_super_resolution.degradation import (
    SliceProfile,
    forward_matrix,
    projection_matrix,
    spline_matrix,
)

RIDGE = 5e-3  # of the projection, over the mean diagonal of A A^T
CONDITIONS = 5  # numbers that say how the slices were acquired, see `conditions`
SD_FLOOR = 2e-3  # of a scaled volume: no voxel is known better


@dataclass(frozen=True)
class Geometry:
    """Where slices are and how thick: all that turns coefficients into thin slices."""

    coarse: NDArray[np.floating[Any]]  # (C,) positions of the acquired slices, any unit
    fine: NDArray[np.floating[Any]]  # (F,) positions wanted, same unit
    profile: SliceProfile
    anisotropy: float  # distance of the acquired slices over the in-plane pixel

    def matrices(self) -> tuple[Tensor, Tensor, Tensor]:
        """Spline S (F, C), forward model A (C, F), projection P (F, C), float32.

        An acquired slice beyond the last thin one has no part in the projection.
        """
        forward = np.zeros((len(self.coarse), len(self.fine)))
        inside = self.coarse <= self.fine[-1] + 1e-6
        forward[inside] = forward_matrix(self.fine, self.coarse[inside], self.profile)
        projection = np.zeros((len(self.fine), len(self.coarse)))
        projection[:, inside] = projection_matrix(forward[inside], RIDGE)
        spline = spline_matrix(self.coarse, self.fine)
        return tuple(torch.from_numpy(each.astype(np.float32)) for each in (spline, forward, projection))  # type: ignore[return-value]

    def conditions(self) -> Tensor:
        """(CONDITIONS,) how the slices were acquired: log anisotropy, profile width and kind, about -1..1."""
        kinds = [float(self.profile.kind == kind) for kind in ("fir", "gaussian", "boxcar")]
        width = 0.0 if self.profile.kind == "fir" else self.profile.fwhm_ratio - 1.0
        ratio = float(np.clip(self.anisotropy, 1.2, 10.0))
        return torch.tensor([np.log2(ratio) - 1.75, 2 * width, *kinds], dtype=torch.float32)

    def distances(self) -> Tensor:
        """(F, C): signed distance of each thin slice from each acquired one, in units of the acquired spacing."""
        spacing = self.coarse[1] - self.coarse[0]
        return torch.from_numpy(((self.fine[:, None] - self.coarse[None, :]) / spacing).astype(np.float32))


class Block(nn.Module):
    """Two convolutions beside a skip, the first scaled by how the slices were acquired: shape kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.scale = nn.Linear(CONDITIONS, channels)
        nn.init.zeros_(self.scale.weight)
        nn.init.ones_(self.scale.bias)
        with torch.no_grad():
            self.second.weight.mul_(0.3)

    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:
        """(N, channels, C, H, W) and (CONDITIONS,) to (N, channels, C, H, W)."""
        scale = self.scale(conditions)[None, :, None, None, None]
        kernel = (self.second.weight * scale).to(x.dtype)  # scaling the kernel is scaling its input, for less work
        # in place, since neither convolution needs its own output again: a third of the memory
        return functional.conv3d(functional.relu_(self.first(x)), kernel, padding=self.second.padding).add_(x)


class SliceBasis(nn.Module):
    """Learned functions of the distance from an acquired slice, zero at its neighbours: (...,) to (..., terms)."""

    WAVES = 4

    def __init__(self, terms: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * self.WAVES + 1 + CONDITIONS, 48)
        self.out = nn.Linear(48, terms)

    def forward(self, distance: Tensor, conditions: Tensor) -> Tensor:
        """Distances (...) in acquired spacings and (CONDITIONS,) to the functions (..., terms)."""
        waves = torch.arange(1, self.WAVES + 1, dtype=distance.dtype, device=distance.device) * torch.pi
        angle = distance.clamp(-1, 1)[..., None] * waves
        given = conditions.expand(*distance.shape, CONDITIONS)
        features = torch.cat([distance.clamp(-1, 1)[..., None], angle.sin(), angle.cos(), given], dim=-1)
        window = (1 - distance.abs()).clamp(min=0)[..., None]
        terms: Tensor = self.out(functional.silu(self.hidden(features))) * window.sqrt()
        return terms


class ThinSliceNet(nn.Module):
    """One network for every ratio, gap and profile.

    Features are computed once per acquired voxel. They end in coefficients of learned functions of the distance from
    the slice, so that a thin slice anywhere is a weighted sum. Interpolant, decoding and the projection onto what was
    acquired are all linear along the slices and fold into one matrix each for slices and coefficients:

        x = S y + B c + P (y - A (S y + B c)) = G y + K c

    No convolution has a bias and the first one's kernels sum to zero: a brighter or offset image gives the same
    residual, scaled. The uncertainty is a second set of coefficients, decoded by functions of its own.

    Parameters
    ----------
    channels
        Of the features.
    blocks
        Residual blocks, each of which widens the view by two voxels.
    terms, spread_terms
        Coefficients of a voxel for the intensity and for its uncertainty.
    """

    def __init__(self, channels: int = 32, blocks: int = 5, terms: int = 16, spread_terms: int = 6) -> None:
        super().__init__()
        self.terms, self.spread_terms = terms, spread_terms
        self.first = nn.Conv3d(1, channels, 3, bias=False)
        self.body = nn.ModuleList(Block(channels) for _ in range(blocks))
        self.head = nn.Conv3d(channels, terms + spread_terms, 3, padding=1, bias=False)
        self.basis = SliceBasis(terms)
        self.spread_basis = SliceBasis(spread_terms)
        with torch.no_grad():
            self.head.weight[:terms].mul_(0.1)

    def features(self, thick: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients of the residual and of the spread.

        (N, C, H, W) to (N, terms, C, H, W) and (N, spread_terms, C, H, W) float32.
        """
        x = self._first(thick).to(memory_format=torch.channels_last_3d)
        if torch.is_autocast_enabled(thick.device.type):
            x = x.to(torch.get_autocast_dtype(thick.device.type))
        else:
            x = x.to(self.head.weight.dtype)
        for block in self.body:
            x = block(x, conditions)
        coefficients = self.head(functional.relu_(x)).float()
        return coefficients[:, : self.terms], coefficients[:, self.terms :]

    def _first(self, thick: Tensor) -> Tensor:
        """The first convolution, in full precision: (N, C, H, W) to (N, channels, C, H, W).

        Its kernels sum to zero, so it takes small differences of large numbers. With one channel in, the three slices
        under a kernel serve as the channels of a plane convolution, which is much faster.
        """
        count, slices, height, width = thick.shape
        kernel = self.first.weight - self.first.weight.mean(dim=(2, 3, 4), keepdim=True)
        padded = functional.pad(thick[:, None].float(), (1, 1, 1, 1, 1, 1), mode="replicate")[:, 0]
        triples = padded.unfold(1, 3, 1).permute(0, 1, 4, 2, 3).reshape(count * slices, 3, height + 2, width + 2)
        with torch.autocast(thick.device.type, enabled=False):
            planes = functional.conv2d(triples.to(memory_format=torch.channels_last), kernel[:, 0].float())
        return planes.reshape(count, slices, -1, height, width).transpose(1, 2)

    def forward(self, thick: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to the thin slices and their spread, each (N, F, H, W) float32."""
        conditions = geometry.conditions().to(thick.device)
        slices, coefficients, spread = self.decoders(geometry)
        residual_terms, spread_terms = self.features(thick, conditions)
        thin = torch.einsum("fc,nchw->nfhw", slices, thick)
        thin = thin + torch.einsum("ftc,ntchw->nfhw", coefficients, residual_terms)
        deviation = torch.einsum("ftc,ntchw->nfhw", spread, spread_terms)
        return thin, torch.sqrt(deviation**2 + SD_FLOOR**2)

    def decoders(self, geometry: Geometry) -> tuple[Tensor, Tensor, Tensor]:
        """G (F, C), K (F, terms, C) and the spread's functions (F, spread_terms, C)."""
        device = self.first.weight.device
        conditions, distances = geometry.conditions().to(device), geometry.distances().to(device)
        spline, forward, projection = (each.to(device) for each in geometry.matrices())
        slices = spline + projection @ (torch.eye(len(forward), device=device) - forward @ spline)
        basis = self.basis(distances, conditions).permute(0, 2, 1)  # (F, terms, C)
        flat = basis.reshape(len(basis), -1)
        coefficients = (flat - projection @ (forward @ flat)).reshape(basis.shape)
        return slices, coefficients, self.spread_basis(distances, conditions).permute(0, 2, 1)

    def flattened(self) -> ThinSliceNet:
        """The same network for stacks of one row that stands for all rows alike: (N, C, 1, W).

        Where nothing changes down the rows, summing a kernel over its rows is the same convolution at a third of the
        work, and one row is enough.
        """
        flat = copy.deepcopy(self)
        for layer in flat.modules():
            if isinstance(layer, nn.Conv3d) and layer is not flat.first:
                _flatten(layer)
        return flat

    def multiply_adds(self, ratio: float) -> float:
        """Per thin voxel, decoding of two neighbours included."""
        convolutions = sum(each.weight.numel() for each in self.modules() if isinstance(each, nn.Conv3d))
        return convolutions / ratio + 2 * (self.terms + self.spread_terms) + 2


def _flatten(layer: nn.Conv3d) -> None:
    """Sum the kernels over their rows, (out, in, 3, 3, 3) to (out, in, 3, 1, 3)."""
    summed = layer.weight.detach().float().sum(dim=3, keepdim=True).to(layer.weight.dtype)
    layer.weight = nn.Parameter(summed.contiguous(memory_format=torch.channels_last_3d))
    layer.kernel_size, layer.padding = (3, 1, 3), (1, 0, 1)
