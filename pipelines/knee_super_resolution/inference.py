"""The trained network at work: strips without seams, in the number format that the processor is fast in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.network import SD_FLOOR, Condyle, Geometry

BUNDLE = Path(__file__).parent / "bundle"
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
AIR = 0.02  # of the scaled intensity: columns that never exceed it hold nothing
MARGIN = 4  # pixels round what is not air
STRIP_VOXELS = 1_500_000  # acquired voxels of a strip: about 400 MB at work


@dataclass(frozen=True)
class Description:
    """What stands beside the weights."""

    calibration: dict[float, float]  # ratio -> factor from the network's spread to a standard deviation
    trained_on: str
    channels: int
    blocks: int
    weights_sha256: str


def read_description(folder: Path = BUNDLE) -> Description:
    """What is known of the shipped weights without loading them.

    Raises
    ------
    FileNotFoundError
        If there are no weights.
    """
    read: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())
    return Description(
        calibration={float(ratio): float(factor) for ratio, factor in read["calibration"].items()},
        trained_on=str(read["trained_on"]),
        channels=int(read["plan"]["channels"]),
        blocks=int(read["plan"]["blocks"]),
        weights_sha256=str(read["weights_sha256"]),
    )


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively; emulated, it would be slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class Restorer:
    """A network in memory."""

    def __init__(self, network: Condyle, calibration: dict[float, float], half: bool | None = None) -> None:
        self.calibration = calibration
        self.half = fast_bfloat16() if half is None else half
        self.network = network.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        kind = torch.bfloat16 if self.half else torch.float32
        self.network.head.to(kind)
        for block in self.network.body:
            block.first.to(kind)
            block.second.to(kind)

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
        strip_rows: int | None = None,
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
        strip_rows
            Rows worked on at once; by memory where None. The result does not depend on it.
        """
        geometry = Geometry(coarse, fine, profile, anisotropy)
        with torch.inference_mode():
            return self._restore(torch.from_numpy(np.ascontiguousarray(thick)), geometry, strip_rows)

    def _restore(
        self, thick: Tensor, geometry: Geometry, strip_rows: int | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        slices, height, width = thick.shape
        conditions = geometry.conditions()
        linear, coefficients, spread = self.network.decoders(geometry)
        thin = (linear @ thick.reshape(slices, -1)).reshape(-1, height, width)
        deviation = torch.full_like(thin, SD_FLOOR)
        weight = content(thick)
        rows = strip_rows or max(16, STRIP_VOXELS // (slices * width))
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            columns = torch.nonzero(weight[top:bottom].amax(dim=0) > 0)[:, 0]
            if not len(columns):
                continue
            left, right = int(columns[0]), int(columns[-1]) + 1
            outer = _grown((top, bottom, left, right), self.field, height, width)
            residual_terms, spread_terms = self._features(thick, outer, (top, bottom, left, right), conditions)
            part = weight[top:bottom, left:right]
            thin[:, top:bottom, left:right] += _decode(coefficients, residual_terms) * part
            wide = _decode(spread, spread_terms) * part
            deviation[:, top:bottom, left:right] = torch.sqrt(wide**2 + SD_FLOOR**2)
        deviation *= self._factor(geometry)
        return thin.numpy(), deviation.numpy()

    def _features(
        self, thick: Tensor, outer: tuple[int, ...], inner: tuple[int, ...], conditions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Coefficients of the inner box, worked out on the outer one: (C, terms, h, w) each."""
        top, bottom, left, right = outer
        terms, spread = self.network.features(thick[None, :, top:bottom, left:right], conditions)
        rows, columns = slice(inner[0] - top, inner[1] - top), slice(inner[2] - left, inner[3] - left)
        return terms[0, :, :, rows, columns], spread[0, :, :, rows, columns]

    def _factor(self, geometry: Geometry) -> float:
        """The calibration for a ratio, between those it was measured at."""
        if not self.calibration:
            return 1.0
        ratio = float((geometry.coarse[1] - geometry.coarse[0]) / (geometry.fine[1] - geometry.fine[0]))
        known = sorted(self.calibration)
        return float(np.interp(np.log(ratio), np.log(known), [self.calibration[each] for each in known]))


def content(thick: Tensor) -> Tensor:
    """How much a column of voxels is worth working on, 0 in air to 1, with soft edges: (C, H, W) to (H, W)."""
    inside = (thick.abs().amax(dim=0) > AIR).float()[None, None]
    grown = functional.max_pool2d(inside, 2 * MARGIN + 1, stride=1, padding=MARGIN)
    soft = functional.avg_pool2d(grown, MARGIN + 1, stride=1, padding=MARGIN // 2, count_include_pad=False)
    return soft[0, 0]


def _grown(box: tuple[int, int, int, int], margin: int, height: int, width: int) -> tuple[int, int, int, int]:
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
    network = Condyle(description.channels, description.blocks)
    network.load_state_dict(load_file(folder / WEIGHTS))
    return Restorer(network, description.calibration, half)


@cache
def warm_model() -> Restorer:
    """The shipped network, loaded once per process."""
    return load()
