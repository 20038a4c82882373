"""The trained network at work: tiles without seams, in the number format that the device is fast in."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.device import autocast, with_fallback
from pipelines.knee_super_resolution.degradation import SliceProfile, coarse_positions, forward_matrix
from pipelines.knee_super_resolution.network import SD_FLOOR, Geometry, ThinSliceNet
from pipelines.knee_super_resolution.tiles import (
    AIR,
    Box,
    Given,
    Made,
    box_of,
    boxes_of,
    content,
    side_by_side,
    widened,
)

COARSER_PLANES = 1.25  # pixels from thin slice to thin slice, from which on planes are asked at the scale of the slices
TRIAL_PLANES = 6  # with three, a few small foci can change which are the busiest, and the answer by half
PLANE_BIAS = 1.2  # measured on volumes held back: what a plane's answer is low by
UNASKED_SPREAD = 1.5  # of a volume that has no plane to ask: rather too wide
TRUST_RANGE = (0.05, 1.1)
GAUSSIAN_90 = 1.6449
TILE_VOXELS = 5_000_000  # acquired voxels of a tile with its margin: about 1.5 GB at work


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively; emulated, it would be slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@dataclass(frozen=True)
class Trust:
    """How far a volume's own planes say that the network can be trusted."""

    residual: float  # share of the learned residual that is added
    spread: float  # factor from the network's spread to a standard deviation


class Restored(NamedTuple):
    """What was made of a stack."""

    values: Tensor  # (2, F, H, W) on the CPU: thin slices and, of a network that knows it, the standard deviation
    remark: str  # where it had to be computed otherwise than asked for; else empty


Features = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # thick slices and conditions to coefficients


class Restorer:
    """A network in memory.

    Parameters
    ----------
    network
        As it was trained, in float32.
    calibration
        Factor from the network's spread to a standard deviation, by the ratio it was measured at.
    half
        Whether features are computed in bfloat16 on the CPU; by default where the processor does that fast. A GPU
        computes them in the half precision that it has.
    device
        Where features are computed; the CPU by default.
    """

    def __init__(
        self,
        network: ThinSliceNet,
        calibration: Mapping[float, float],
        half: bool | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.calibration = calibration
        self.device = device or torch.device("cpu")
        self.half = (fast_bfloat16() if half is None else half) and self.device.type == "cpu"
        self.network = network.eval().to(self.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        kind = torch.bfloat16 if self.half else torch.float32
        self.network.head.to(kind)
        for block in self.network.body:
            block.first.to(kind)
            block.second.to(kind)
        self.flat = self.network.flattened()
        self.features: Features = self.network.features
        if self.device.type != "cpu":
            self.features = self._features_on_gpu

    @property
    def field(self) -> int:
        """How many voxels away a voxel still matters to the features."""
        return 2 + 2 * len(self.network.body)

    def restore(
        self,
        thick: NDArray[np.float32],
        coarse: NDArray[np.floating[Any]],
        fine: NDArray[np.floating[Any]],
        profile: SliceProfile,
        anisotropy: float,
        tile: tuple[int, int] | None = None,
        trust: Trust | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Thin slices and the standard deviation of each voxel, both (F, H, W).

        Parameters
        ----------
        thick
            (C, H, W) acquired slices, divided by their 99.9th percentile.
        coarse, fine
            (C,), (F,): positions along the normal, same unit, ascending; `fine` within `coarse`.
        anisotropy
            Distance of the acquired slices over the in-plane pixel.
        tile
            Rows and columns worked on at once; by memory and threads where None. The result does not depend on it.
        trust
            How much of the residual to add and how wide the spread is; asked of the volume where None.
        """
        given = torch.from_numpy(np.ascontiguousarray(thick))
        thin, deviation = self.restored(given, Geometry(coarse, fine, profile, anisotropy), tile, trust).values
        return thin.numpy(), deviation.numpy()

    def restored(
        self, thick: Tensor, geometry: Geometry, tile: tuple[int, int] | None = None, trust: Trust | None = None
    ) -> Restored:
        """Thin slices and the standard deviation of each voxel.

        Where the memory of a GPU ends, it is done in smaller tiles, and on the CPU at last.

        Parameters
        ----------
        thick
            (C, H, W) acquired slices on the CPU, divided by their 99.9th percentile.
        geometry
            Where they are, and where thin ones are wanted.
        tile, trust
            As in `restore`.
        """

        def work(where: torch.device, share: float) -> Tensor:
            made = self._on(where)
            with torch.inference_mode():
                return made._restore(thick, geometry, tile, share, trust or made.trust(thick, geometry))

        return Restored(*with_fallback(work, self.device))

    def _on(self, device: torch.device) -> Restorer:
        """The same on another device, for as long as it is needed."""
        if device == self.device:
            return self
        return Restorer(copy.deepcopy(self.network).to(device), self.calibration, device=device)

    def _each(self, work: Callable[[Given], Made], given: Iterable[Given]) -> list[Made]:
        """What `work` makes of each: side by side on the CPU, one after another on a GPU, which one keeps busy."""
        return side_by_side(work, given) if self.device.type == "cpu" else [work(each) for each in given]

    def trust(self, thick: Tensor, geometry: Geometry) -> Trust:
        """Ask the volume's own planes how far the network can be trusted here.

        What is thin in the plane stands in for what is thick across it (the idea of SMORE, Zhao 2021, without its
        training): a few acquired slices are thickened along each of their own axes and restored. The least-squares
        factor of the residual tells how much of it is detail rather than invention in images like these, and the errors
        tell how wide the spread is. A plane has no depth to look into, so the answer is too low by `PLANE_BIAS`.
        """
        ratio = float((geometry.coarse[1] - geometry.coarse[0]) / (geometry.fine[1] - geometry.fine[0]))
        chosen = [_as_coarse(plane, geometry.anisotropy / ratio) for plane in _busiest_planes(thick)]
        planes = [turned for plane in chosen for turned in (plane, plane.T.contiguous())]
        asked = self._each(lambda plane: self._trial(plane, ratio, geometry), planes)
        trials = [trial for trial in asked if trial is not None]
        products = sum(float((residual * missing).sum()) for residual, missing, _ in trials)
        squares = sum(float((residual**2).sum()) for residual, _, _ in trials)
        if not trials or squares < 1e-9:
            return Trust(1.0, UNASKED_SPREAD * self.calibration_at(ratio))
        amount = float(np.clip(PLANE_BIAS * products / squares, *TRUST_RANGE))
        scores = torch.cat([((missing - amount * residual).abs() / spread) for residual, missing, spread in trials])
        width = float(torch.quantile(scores[:: max(1, len(scores) // 100_000)], 0.9)) / GAUSSIAN_90
        return Trust(amount, width * self.calibration_at(ratio))

    def _trial(self, plane: Tensor, ratio: float, geometry: Geometry) -> tuple[Tensor, Tensor, Tensor] | None:
        """Residual, what it should have been, and spread of one plane (H, W) thickened down its rows; tissue only."""
        fine = np.arange(len(plane), dtype=float)
        coarse = coarse_positions(len(plane), ratio)
        if len(coarse) < 4:
            return None
        plane = plane.to(self.device)
        forward = torch.from_numpy(forward_matrix(fine, coarse, geometry.profile).astype(np.float32)).to(self.device)
        asked = Geometry(coarse, fine[fine <= coarse[-1] + 1e-6], geometry.profile, geometry.anisotropy)
        thick = (forward @ plane)[:, None, :]  # one row, the same everywhere across the plane
        linear, coefficients, spread = self.network.decoders(asked)
        with autocast(self.device):
            residual_terms, spread_terms = self.flat.features(thick[None], asked.conditions().to(self.device))
        residual = _decode(coefficients, residual_terms[0])[:, 0]
        wide = _decode(spread, spread_terms[0])[:, 0]
        truth = plane[: len(asked.fine)]
        missing = truth - linear @ thick[:, 0]
        tissue = truth > 2 * AIR
        tissue[:2] = tissue[-2:] = False
        return residual[tissue], missing[tissue], torch.sqrt(wide[tissue] ** 2 + SD_FLOOR**2)

    def _restore(
        self, thick: Tensor, geometry: Geometry, tile: tuple[int, int] | None, share: float, trust: Trust
    ) -> Tensor:
        slices, height, width = thick.shape
        conditions = geometry.conditions().to(self.device)
        linear, coefficients, spread = self.network.decoders(geometry)
        made = torch.empty(2, len(linear), height, width)
        thin, deviation = made[0], made[1].fill_(SD_FLOOR)
        torch.mm(linear.cpu(), thick.reshape(slices, -1), out=thin.view(len(linear), -1))
        weight = content(thick)

        def work(box: Box) -> None:
            top, bottom, left, right = box
            outer = widened(box, self.field, height, width)
            residual_terms, spread_terms = self._features(thick, outer, box, conditions)
            part = weight[top:bottom, left:right]
            thin[:, top:bottom, left:right] += trust.residual * _decode(coefficients, residual_terms).cpu() * part
            wide = _decode(spread, spread_terms).cpu() * part
            deviation[:, top:bottom, left:right] = torch.sqrt(wide**2 + SD_FLOOR**2)

        self._each(work, boxes_of(weight, tile or self._tile(weight, slices, share)))
        deviation *= trust.spread
        return made

    def _tile(self, weight: Tensor, slices: int, share: float = 1.0) -> tuple[int, int]:
        """Rows and columns of a tile that keep every thread busy, recompute little and fit into a share of memory."""
        whole = box_of(weight)
        if whole is None:
            return weight.shape[0], weight.shape[1]
        rows, columns = whole[1] - whole[0], whole[3] - whole[2]
        lanes = torch.get_num_threads() if self.device.type == "cpu" else 1
        best, least = (16, 16), math.inf
        for down in range(1, rows // 16 + 2):
            for across in range(1, columns // 16 + 2):
                tile = math.ceil(rows / down), math.ceil(columns / across)
                outer = math.prod(
                    side + 2 * self.field * (parts > 1) for side, parts in zip(tile, (down, across), strict=True)
                )
                cost = math.ceil(down * across / lanes) * outer
                if slices * outer <= TILE_VOXELS * share and cost < least:
                    best, least = tile, cost
        return best

    def _features_on_gpu(self, thick: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(self.device):
            terms, spread = self.network.features(thick.to(self.device), conditions)
        return terms, spread

    def _features(self, thick: Tensor, outer: Box, inner: Box, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients of the inner box, worked out on the outer one: (C, terms, h, w) each."""
        top, bottom, left, right = outer
        terms, spread = self.features(thick[None, :, top:bottom, left:right], conditions)
        rows, columns = slice(inner[0] - top, inner[1] - top), slice(inner[2] - left, inner[3] - left)
        return terms[0, :, :, rows, columns], spread[0, :, :, rows, columns]

    def calibration_at(self, ratio: float) -> float:
        """The calibration for a ratio, between those it was measured at."""
        if not self.calibration:
            return 1.0
        known = sorted(self.calibration)
        return float(np.interp(np.log(ratio), np.log(known), [self.calibration[each] for each in known]))


def _as_coarse(plane: Tensor, pixels: float) -> Tensor:
    """A plane (H, W) whose pixels are as far apart as thin slices, which are so many pixels apart.

    With pixels half as wide, the same ratio takes away detail half as large, of which there is less: the answer was
    too low by a third on heads, and up to 0.6 dB were lost.
    """
    if pixels < COARSER_PLANES:
        return plane
    lines = [np.arange(size, dtype=float) for size in plane.shape]
    rows, columns = (forward_matrix(fine, coarse_positions(len(fine), pixels), SliceProfile("fir")) for fine in lines)
    return torch.from_numpy((rows @ plane.numpy() @ columns.T).astype(np.float32))


def _busiest_planes(thick: Tensor) -> list[Tensor]:
    """The slices with most contrast, (H, W) each, cut to the part that is not air."""
    chosen = torch.argsort(thick.flatten(1).std(dim=1), descending=True)[:TRIAL_PLANES]
    planes = []
    for number in sorted(int(each) for each in chosen):
        plane = thick[number]
        rows = torch.nonzero((plane > AIR).any(dim=1))[:, 0]
        columns = torch.nonzero((plane > AIR).any(dim=0))[:, 0]
        if len(rows) and len(columns):
            planes.append(plane[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1].contiguous())
    return planes


def _decode(matrix: Tensor, terms: Tensor) -> Tensor:
    """(F, terms, C) and (terms, C, h, w) to (F, h, w)."""
    count, height, width = matrix.shape[0], *terms.shape[-2:]
    return (matrix.reshape(count, -1) @ terms.reshape(-1, height * width)).reshape(count, height, width)
