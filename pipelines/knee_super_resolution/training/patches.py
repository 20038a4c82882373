"""Patches to learn from: the MONAI transforms that crop and vary a thin volume, and how it is made thick."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, MapTransform, RandAdjustContrastd, RandFlipd, RandomizableTransform
from numpy.typing import NDArray
from torch import Tensor

from pipelines.knee_super_resolution import metrics
from pipelines.knee_super_resolution.degradation import (
    SliceProfile,
    along_slices,
    coarse_positions,
    forward_matrix,
)
from pipelines.knee_super_resolution.training.volumes import MIN_SAMPLES, ThinVolume


@dataclass(frozen=True)
class Example:
    """A thick-slice stack and the thin slices it was made of."""

    thick: Tensor  # (N, C, H, W) float32
    thin: Tensor  # (N, F, H, W)
    ratio: float  # thin slices per thick slice
    anisotropy: float  # distance of thick slices over in-plane pixel
    profile: SliceProfile
    noise: float  # standard deviation added to the thick slices


@dataclass(frozen=True)
class Degradation:
    """What one batch is degraded by."""

    ratio: float
    profile: SliceProfile
    noise: float

    @staticmethod
    def draw(random: np.random.Generator, factors: Iterable[float] = (), fir_only: bool = False) -> Degradation:
        """A random one: any ratio from 1.5 to 8 or one of `factors`, any profile, with or without noise.

        Parameters
        ----------
        random
            Where chance comes from.
        factors
            To choose the ratio from; any ratio where there are none.
        fir_only
            Whether the profile is always the paper's filter, without noise.
        """
        listed = tuple(factors)
        ratio = float(random.choice(listed)) if listed else float(np.exp(random.uniform(np.log(1.5), np.log(8.0))))
        kind = "fir" if fir_only else str(random.choice(["fir", "gaussian", "boxcar"], p=[0.55, 0.27, 0.18]))
        width = float(random.uniform(0.8, 1.5)) if kind == "gaussian" else float(random.uniform(0.75, 1.1))
        noise = 0.0 if fir_only or random.random() < 0.7 else float(random.uniform(0.002, 0.03))
        return Degradation(ratio, SliceProfile(kind, 1.0 if kind == "fir" else width), noise)  # type: ignore[arg-type]


COARSER_SHARE = 0.25  # of the patches, whose thin slices are twice as far apart as the volume's
COARSER = 2


class RandSliceAxisd(RandomizableTransform, MapTransform):  # type: ignore[misc]
    """Bring one of a volume's thin axes to the front and crop: (D, H, W) to (1, depth, size, size).

    Clinical 3-D series have slices about twice as thick as their pixels are wide, volumes to train on mostly cubes. So
    some volumes are first made coarser along that axis, with the edge of the spectrum that a scanner's partitions have.

    Parameters
    ----------
    keys
        Of the volumes in the sample.
    depth, size
        Thin slices and in-plane pixels of the crop.
    """

    def __init__(self, keys: Iterable[Hashable], depth: int, size: int) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, 1.0)
        self.depth, self.size = depth, size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            volume: ThinVolume = out[key]
            axis = int(self.R.choice(volume.thin_axes))
            turned = np.moveaxis(volume.array, axis, 0)
            plane = [each for each in range(3) if each != axis]
            if self.R.random() < 0.5:
                turned, plane = turned.transpose(0, 2, 1), plane[::-1]
            coarser = COARSER if self.R.random() < COARSER_SHARE and len(turned) >= COARSER * MIN_SAMPLES else 1
            cropped = _coarser(self._crop(turned, self.depth * coarser), coarser)
            out[key] = torch.from_numpy(_filled(cropped, (self.depth, self.size, self.size))[None])
            pixel = float(np.sqrt(volume.spacing_mm[plane[0]] * volume.spacing_mm[plane[1]]))
            out["step_over_pixel"] = coarser * volume.spacing_mm[axis] / pixel
        return out

    def _crop(self, turned: NDArray[np.float32], depth: int) -> NDArray[np.float32]:
        """A random box that is not all air, smaller where the volume is."""
        best, most = turned, -1.0
        for _ in range(4):
            box = []
            for size, wanted in zip(turned.shape, (depth, self.size, self.size), strict=True):
                start = int(self.R.randint(0, max(size - wanted, 0) + 1))
                box.append(slice(start, start + wanted))
            candidate = turned[tuple(box)]
            content = float((candidate > metrics.FOREGROUND_LEVEL).mean())
            if content > most:
                best, most = candidate, content
            if most > 0.4:
                break
        return best


def _coarser(cropped: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Slices (D, H, W) so many times as far apart, (D // factor, H, W)."""
    if factor == 1:
        return cropped
    fine = np.arange(len(cropped), dtype=float)
    forward = forward_matrix(fine, coarse_positions(len(cropped), factor), SliceProfile("fir"))
    return np.maximum(along_slices(forward, cropped), 0)


def _filled(cropped: NDArray[np.float32], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Mirrored up to a shape, where it is smaller."""
    missing = [(0, max(0, wanted - size)) for size, wanted in zip(cropped.shape, shape, strict=True)]
    return np.ascontiguousarray(np.pad(cropped, missing, mode="symmetric"))


def patch_transforms(depth: int, size: int) -> Compose:
    """From a `ThinVolume` to a cropped, flipped, contrast-varied patch (1, depth, size, size)."""
    return Compose(
        [
            RandSliceAxisd(["thin"], depth, size),
            RandFlipd(["thin"], prob=0.5, spatial_axis=0),
            RandFlipd(["thin"], prob=0.5, spatial_axis=1),
            RandFlipd(["thin"], prob=0.5, spatial_axis=2),
            RandAdjustContrastd(["thin"], prob=0.3, gamma=(0.7, 1.5), invert_image=True, retain_stats=False),
        ]
    )


def degrade_batch(
    thin: Tensor, degradation: Degradation, step_over_pixel: float, random: np.random.Generator
) -> Example:
    """Thicken a batch of patches (N, 1, D, H, W) along their first axis.

    The thin slices beyond the last thick one are left out, as they are in the evaluation.

    Parameters
    ----------
    thin
        (N, 1, D, H, W).
    degradation
        Ratio, profile and noise.
    step_over_pixel
        Distance of the thin slices over the in-plane pixel.
    random
        Where the noise comes from.
    """
    depth = thin.shape[2]
    fine = np.arange(depth, dtype=float)
    coarse = coarse_positions(depth, degradation.ratio)
    forward = torch.from_numpy(forward_matrix(fine, coarse, degradation.profile).astype(np.float32))
    thick = torch.einsum("cf,nfhw->nchw", forward, thin[:, 0])
    if degradation.noise > 0:
        noise = random.normal(0, degradation.noise, (2, *thick.shape)).astype(np.float32)
        thick = torch.hypot(thick + torch.from_numpy(noise[0]), torch.from_numpy(noise[1]))
    kept = int(np.floor(coarse[-1] + 1e-6)) + 1
    return Example(
        thick=thick,
        thin=thin[:, 0, :kept],
        ratio=degradation.ratio,
        anisotropy=degradation.ratio * step_over_pixel,
        profile=degradation.profile,
        noise=degradation.noise,
    )
