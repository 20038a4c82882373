"""DeepResolve, the published network, which works on the interpolated volume: its layers, its files, its tiles."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.device import autocast, with_fallback
from pipelines.knee_super_resolution.degradation import along_slices, spline_matrix
from pipelines.knee_super_resolution.inference import Restored, fast_bfloat16
from pipelines.knee_super_resolution.network import Geometry
from pipelines.knee_super_resolution.tiles import box_of, content

TILE_VOXELS = 4_000_000  # thin voxels of a tile with its margin: about 2 GB at work
SMALLEST = 16  # voxels of a tile along each axis, at least
STEM = "deepresolve_"  # of a file of weights; the ratio that it was trained for follows
SAME_RATIO = 0.01  # ratios that differ by less than this share are one


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
        return interpolated + self.residual(interpolated)

    def residual(self, interpolated: Tensor) -> Tensor:
        """What the interpolated volume (N, 1, F, H, W) lacks, in float32."""
        made: Tensor = super().forward(interpolated.to(memory_format=torch.channels_last_3d))  # type: ignore[no-untyped-call]
        return made.float()

    @property
    def field(self) -> int:
        """How many voxels away a voxel still matters: one more with each convolution."""
        return sum(isinstance(each, nn.Conv3d) for each in self)

    def multiply_adds(self) -> float:
        """Per thin voxel."""
        return float(sum(each.weight.numel() for each in self.modules() if isinstance(each, nn.Conv3d)))


class TrainedNetworks(nn.ModuleList):
    """One network for each ratio that was trained for.

    Parameters
    ----------
    networks
        By their ratios.
    """

    def __init__(self, networks: Mapping[float, DeepResolve]) -> None:
        super().__init__(networks[ratio] for ratio in sorted(networks))
        self.ratios = sorted(networks)

    def nearest(self, ratio: float) -> tuple[float, DeepResolve]:
        """The ratio of training that is nearest, and its network."""
        number = min(range(len(self)), key=lambda each: abs(math.log(self.ratios[each] / ratio)))
        return self.ratios[number], self[number]  # type: ignore[return-value]


def read_networks(folder: Path | str) -> TrainedNetworks:
    """The networks of a bundle's folder of weights.

    Raises
    ------
    FileNotFoundError
        If it holds none.
    """
    networks = {}
    for path in Path(folder).glob(f"{STEM}*.safetensors"):
        network = DeepResolve()
        network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
        networks[float(path.stem.removeprefix(STEM))] = network.eval()
    if not networks:
        raise FileNotFoundError(f"{folder}: holds no {STEM}*.safetensors")
    return TrainedNetworks(networks)


class DeepResolveRestorer:
    """Runs the network that was trained for the nearest ratio, in tiles whose margins are thrown away.

    Parameters
    ----------
    networks
        Of a bundle.
    device
        Where they compute.
    """

    def __init__(self, networks: TrainedNetworks, device: torch.device) -> None:
        self.networks, self.device = networks, device

    def restored(self, thick: Tensor, geometry: Geometry) -> Restored:
        """Thin slices, and a remark where no network was trained for that very ratio.

        Parameters
        ----------
        thick
            (C, H, W) acquired slices on the CPU, divided by their 99.9th percentile.
        geometry
            Where they are, and where thin ones are wanted.
        """
        ratio = float((geometry.coarse[1] - geometry.coarse[0]) / (geometry.fine[1] - geometry.fine[0]))
        trained, network = self.networks.nearest(ratio)
        interpolated = torch.from_numpy(along_slices(spline_matrix(geometry.coarse, geometry.fine), thick.numpy()))
        weight = content(thick)
        work = partial(self._added, network, interpolated, weight)
        made, remark = with_fallback(work, self.device)
        if abs(trained / ratio - 1) > SAME_RATIO:
            known = ", ".join(f"{each:g}" for each in self.networks.ratios)
            other = f"DeepResolve was trained for ratios of {known}; the one for {trained:g} worked at {ratio:.2f}."
            remark = f"{other} {remark}".strip()
        return Restored(made[None], remark)

    def _added(
        self, network: DeepResolve, interpolated: Tensor, weight: Tensor, device: torch.device, share: float
    ) -> Tensor:
        """The interpolated volume (F, H, W) and what the network adds to it, where there is more than air."""
        made, within = interpolated.clone(), box_of(weight)
        if within is None:
            return made
        kind = torch.bfloat16 if device.type == "cpu" and fast_bfloat16() else torch.float32
        ready = copy.deepcopy(network).to(device, kind).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        spans = [(0, len(made)), within[:2], within[2:]]
        sizes = _tile([stop - start for start, stop in spans], network.field, TILE_VOXELS * share)
        starts = (range(start, stop, size) for (start, stop), size in zip(spans, sizes, strict=True))
        with torch.inference_mode():
            for corner in product(*starts):
                inner = [slice(at, min(at + n, stop)) for at, n, (_, stop) in zip(corner, sizes, spans, strict=True)]
                outer = [
                    slice(max(each.start - network.field, 0), min(each.stop + network.field, whole))
                    for each, whole in zip(inner, made.shape, strict=True)
                ]
                given = interpolated[tuple(outer)][None, None].to(device, kind)
                with autocast(device):
                    residual = ready.residual(given)[0, 0].cpu()
                kept = tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
                made[tuple(inner)] += residual[kept] * weight[inner[1], inner[2]]
        return made


def _tile(sides: list[int], field: int, voxels: float) -> list[int]:
    """Sides of the tiles that recompute least, of those that fit into so many voxels with their margins."""
    best, least = [SMALLEST] * 3, math.inf
    for parts in product(*(range(1, math.ceil(side / SMALLEST) + 1) for side in sides)):
        tile = [math.ceil(side / number) for side, number in zip(sides, parts, strict=True)]
        outer = [side + 2 * field * (number > 1) for side, number in zip(tile, parts, strict=True)]
        cost = float(np.prod(outer)) * math.prod(parts)
        if math.prod(outer) <= voxels and cost < least:
            best, least = tile, cost
    return best
