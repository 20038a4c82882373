"""Tasks with a known answer: thick slices made of thin ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_super_resolution import metrics
from pipelines.knee_super_resolution.degradation import SliceProfile, along_slices, coarse_positions, forward_matrix
from pipelines.knee_super_resolution.training.volumes import ThinVolume

MIN_THICK = 4  # acquired slices that a volume has to leave


@dataclass(frozen=True)
class Task:
    """Thick slices and where the thin ones are wanted."""

    thick: NDArray[np.float32]  # (C, H, W), scaled
    factor: int
    count: int  # of thin slices, the first at the first thick one
    profile: SliceProfile
    anisotropy: float  # distance of thick slices over the in-plane pixel

    @property
    def coarse(self) -> NDArray[np.floating[Any]]:
        """(C,) positions of the thick slices, in thin slices."""
        return float(self.factor) * np.arange(len(self.thick))

    @property
    def fine(self) -> NDArray[np.floating[Any]]:
        """(F,) positions of the thin slices."""
        return np.arange(self.count, dtype=float)


def degraded(
    volume: ThinVolume, axis: int, factor: int, kind: str = "fir", scale: float | None = None
) -> tuple[Task, NDArray[np.float32]]:
    """Thick slices of a volume along one axis, and the thin slices they span; both scaled by the thick ones.

    Parameters
    ----------
    scale
        What to divide by instead, where two volumes are to be compared.
    """
    turned = np.moveaxis(volume.array, axis, 0)
    fine = np.arange(len(turned), dtype=float)
    coarse = coarse_positions(len(turned), factor)
    profile = SliceProfile(kind, 1.0)  # type: ignore[arg-type]
    thick = along_slices(forward_matrix(fine, coarse, profile), turned)
    scale = metrics.scale_of(thick) if scale is None else scale
    count = (len(coarse) - 1) * factor + 1
    in_plane = [volume.spacing_mm[each] for each in range(3) if each != axis]
    anisotropy = factor * volume.spacing_mm[axis] / float(np.sqrt(np.prod(in_plane)))
    task = Task((np.maximum(thick, 0) / scale).astype(np.float32), factor, count, profile, anisotropy)
    truth: NDArray[np.float32] = np.ascontiguousarray(turned[:count]) / np.float32(scale)
    return task, truth


def cropped(volume: ThinVolume, largest: int) -> ThinVolume:
    """The central box of at most `largest` samples along each axis."""
    box = []
    for size in volume.array.shape:
        start = max(0, (size - largest) // 2)
        box.append(slice(start, start + min(size, largest)))
    return ThinVolume(volume.name, volume.subject, np.ascontiguousarray(volume.array[tuple(box)]), volume.spacing_mm)
