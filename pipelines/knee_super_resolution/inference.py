"""The trained network at work: tiles without seams, in the number format that the processor is fast in.

Tiles are worked on side by side, one thread each. Threads that share the work of one convolution wait for one another
after every layer, and spin while they wait: where another process takes a core, both cores are lost.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from pipelines.knee_super_resolution import BUNDLE, DESCRIPTION, WEIGHTS
from pipelines.knee_super_resolution.degradation import SliceProfile, coarse_positions, forward_matrix
from pipelines.knee_super_resolution.network import SD_FLOOR, Geometry, ThinSliceNet

AIR = 0.02  # of the scaled intensity: columns that never exceed it hold nothing
MARGIN = 4  # pixels round what is not air
TRIAL_PLANES = 6  # with three, a few small foci can change which are the busiest, and the answer by half
PLANE_BIAS = 1.2  # measured on volumes held back: what a plane's answer is low by
UNASKED_SPREAD = 1.5  # of a volume that has no plane to ask: rather too wide
TRUST_RANGE = (0.05, 1.1)
GAUSSIAN_90 = 1.6449
TILE_VOXELS = 5_000_000  # acquired voxels of a tile with its margin: about 1.5 GB at work


@dataclass(frozen=True)
class NetworkDescription:
    """What stands beside the weights."""

    calibration: dict[float, float]  # ratio -> factor from the network's spread to a standard deviation
    trained_on: str
    channels: int
    blocks: int
    weights_sha256: str


def read_description(folder: Path = BUNDLE) -> NetworkDescription:
    """What is known of the shipped weights without loading them.

    Raises
    ------
    FileNotFoundError
        If there are no weights.
    """
    read: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())
    return NetworkDescription(
        calibration={float(ratio): float(factor) for ratio, factor in read["calibration"].items()},
        trained_on=str(read["trained_on"]),
        channels=int(read["plan"]["channels"]),
        blocks=int(read["plan"]["blocks"]),
        weights_sha256=str(read["weights_sha256"]),
    )


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively; emulated, it would be slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@dataclass(frozen=True)
class Trust:
    """How far a volume's own planes say that the network can be trusted."""

    residual: float  # share of the learned residual that is added
    spread: float  # factor from the network's spread to a standard deviation


class Restorer:
    """A network in memory.

    Parameters
    ----------
    network
        As it was trained, in float32.
    calibration
        Factor from the network's spread to a standard deviation, by the ratio it was measured at.
    half
        Whether features are computed in bfloat16; by default where the processor does that fast.
    """

    def __init__(self, network: ThinSliceNet, calibration: dict[float, float], half: bool | None = None) -> None:
        self.calibration = calibration
        self.half = fast_bfloat16() if half is None else half
        self.network = network.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        kind = torch.bfloat16 if self.half else torch.float32
        self.network.head.to(kind)
        for block in self.network.body:
            block.first.to(kind)
            block.second.to(kind)
        self.flat = self.network.flattened()

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
        geometry = Geometry(coarse, fine, profile, anisotropy)
        with torch.inference_mode():
            given = torch.from_numpy(np.ascontiguousarray(thick))
            return self._restore(given, geometry, tile, trust or self.trust(given, geometry))

    def trust(self, thick: Tensor, geometry: Geometry) -> Trust:
        """Ask the volume's own planes how far the network can be trusted here.

        What is thin in the plane stands in for what is thick across it (the idea of SMORE, Zhao 2021, without its
        training): a few acquired slices are thickened along each of their own axes and restored. The least-squares
        factor of the residual tells how much of it is detail rather than invention in images like these, and the errors
        tell how wide the spread is. A plane has no depth to look into, so the answer is too low by `PLANE_BIAS`.
        """
        ratio = float((geometry.coarse[1] - geometry.coarse[0]) / (geometry.fine[1] - geometry.fine[0]))
        planes = [turned for plane in _busiest_planes(thick) for turned in (plane, plane.T.contiguous())]
        asked = side_by_side(lambda plane: self._trial(plane, ratio, geometry), planes)
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
        forward = torch.from_numpy(forward_matrix(fine, coarse, geometry.profile).astype(np.float32))
        asked = Geometry(coarse, fine[fine <= coarse[-1] + 1e-6], geometry.profile, geometry.anisotropy)
        thick = (forward @ plane)[:, None, :]  # one row, the same everywhere across the plane
        linear, coefficients, spread = self.network.decoders(asked)
        residual_terms, spread_terms = self.flat.features(thick[None], asked.conditions())
        residual = _decode(coefficients, residual_terms[0])[:, 0]
        wide = _decode(spread, spread_terms[0])[:, 0]
        truth = plane[: len(asked.fine)]
        missing = truth - linear @ thick[:, 0]
        tissue = truth > 2 * AIR
        tissue[:2] = tissue[-2:] = False
        return residual[tissue], missing[tissue], torch.sqrt(wide[tissue] ** 2 + SD_FLOOR**2)

    def _restore(
        self, thick: Tensor, geometry: Geometry, tile: tuple[int, int] | None, trust: Trust
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        slices, height, width = thick.shape
        conditions = geometry.conditions()
        linear, coefficients, spread = self.network.decoders(geometry)
        thin = (linear @ thick.reshape(slices, -1)).reshape(-1, height, width)
        deviation = torch.full_like(thin, SD_FLOOR)
        weight = content(thick)

        def work(box: Box) -> None:
            top, bottom, left, right = box
            outer = _grown(box, self.field, height, width)
            residual_terms, spread_terms = self._features(thick, outer, box, conditions)
            part = weight[top:bottom, left:right]
            thin[:, top:bottom, left:right] += trust.residual * _decode(coefficients, residual_terms) * part
            wide = _decode(spread, spread_terms) * part
            deviation[:, top:bottom, left:right] = torch.sqrt(wide**2 + SD_FLOOR**2)

        side_by_side(work, _boxes(weight, tile or self._tile(weight, slices)))
        deviation *= trust.spread
        return thin.numpy(), deviation.numpy()

    def _tile(self, weight: Tensor, slices: int) -> tuple[int, int]:
        """Rows and columns of a tile that keep every thread busy, recompute little and fit into memory."""
        whole = _inside(weight)
        if whole is None:
            return weight.shape[0], weight.shape[1]
        rows, columns = whole[1] - whole[0], whole[3] - whole[2]
        lanes, best, least = torch.get_num_threads(), (16, 16), math.inf
        for down in range(1, rows // 16 + 2):
            for across in range(1, columns // 16 + 2):
                tile = math.ceil(rows / down), math.ceil(columns / across)
                outer = math.prod(
                    side + 2 * self.field * (parts > 1) for side, parts in zip(tile, (down, across), strict=True)
                )
                cost = math.ceil(down * across / lanes) * outer
                if slices * outer <= TILE_VOXELS and cost < least:
                    best, least = tile, cost
        return best

    def _features(self, thick: Tensor, outer: Box, inner: Box, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients of the inner box, worked out on the outer one: (C, terms, h, w) each."""
        top, bottom, left, right = outer
        terms, spread = self.network.features(thick[None, :, top:bottom, left:right], conditions)
        rows, columns = slice(inner[0] - top, inner[1] - top), slice(inner[2] - left, inner[3] - left)
        return terms[0, :, :, rows, columns], spread[0, :, :, rows, columns]

    def calibration_at(self, ratio: float) -> float:
        """The calibration for a ratio, between those it was measured at."""
        if not self.calibration:
            return 1.0
        known = sorted(self.calibration)
        return float(np.interp(np.log(ratio), np.log(known), [self.calibration[each] for each in known]))


Box = tuple[int, int, int, int]  # top, bottom, left, right


Given = TypeVar("Given")
Made = TypeVar("Made")


def side_by_side(work: Callable[[Given], Made], given: Iterable[Given]) -> list[Made]:
    """What `work` makes of each, in as many threads as torch would use, each of which computes alone."""
    lanes, each = torch.get_num_threads(), list(given)
    if lanes == 1 or len(each) < 2:
        return [work(one) for one in each]

    def alone(one: Given) -> Made:
        if torch.get_num_threads() > 1:
            torch.set_num_threads(1)  # of this thread, which has just begun
        with torch.inference_mode():
            return work(one)

    try:
        with ThreadPoolExecutor(min(lanes, len(each))) as pool:
            return list(pool.map(alone, each))
    finally:
        torch.set_num_threads(lanes)  # what threads that begin later start from


def _inside(weight: Tensor) -> Box | None:
    """The smallest box that holds every weight (H, W) above zero."""
    rows = torch.nonzero(weight.amax(dim=1) > 0)[:, 0]
    columns = torch.nonzero(weight.amax(dim=0) > 0)[:, 0]
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _boxes(weight: Tensor, tile: tuple[int, int]) -> list[Box]:
    """Tiles that cover what has weight (H, W), each cut down to what is not air."""
    whole = _inside(weight)
    if whole is None:
        return []
    boxes = []
    for top in range(whole[0], whole[1], tile[0]):
        for left in range(whole[2], whole[3], tile[1]):
            bottom, right = min(top + tile[0], whole[1]), min(left + tile[1], whole[3])
            found = _inside(weight[top:bottom, left:right])
            if found is not None:
                boxes.append((top + found[0], top + found[1], left + found[2], left + found[3]))
    return boxes


def content(thick: Tensor) -> Tensor:
    """How much a column of voxels is worth working on, 0 in air to 1, with soft edges: (C, H, W) to (H, W)."""
    inside = (thick.abs().amax(dim=0) > AIR).float()[None, None]
    grown = functional.max_pool2d(inside, 2 * MARGIN + 1, stride=1, padding=MARGIN)
    soft = functional.avg_pool2d(grown, MARGIN + 1, stride=1, padding=MARGIN // 2, count_include_pad=False)
    return soft[0, 0]


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


def _grown(box: Box, margin: int, height: int, width: int) -> Box:
    top, bottom, left, right = box
    return max(top - margin, 0), min(bottom + margin, height), max(left - margin, 0), min(right + margin, width)


def _decode(matrix: Tensor, terms: Tensor) -> Tensor:
    """(F, terms, C) and (terms, C, h, w) to (F, h, w)."""
    count, height, width = matrix.shape[0], *terms.shape[-2:]
    return (matrix.reshape(count, -1) @ terms.reshape(-1, height * width)).reshape(count, height, width)


def load(folder: Path = BUNDLE, half: bool | None = None) -> Restorer:
    """The network of a bundle, in memory.

    Raises
    ------
    FileNotFoundError
        If there are no weights.
    ValueError
        If the weights are not those that were described.
    """
    description = read_description(folder)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    if digest != description.weights_sha256:
        raise ValueError(f"{WEIGHTS} has digest {digest[:12]}, described is {description.weights_sha256[:12]}")
    network = ThinSliceNet(description.channels, description.blocks)
    network.load_state_dict(load_file(folder / WEIGHTS))
    return Restorer(network, description.calibration, half)


@cache
def warm_model(bundle: Path = BUNDLE) -> Restorer:
    """The network of a bundle, loaded once per process."""
    return load(bundle)
