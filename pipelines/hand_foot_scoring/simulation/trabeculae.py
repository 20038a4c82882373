"""Trabecular texture from a micro-CT of real cancellous bone, as a radiograph shows it: thick slabs, seen through."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter, map_coordinates

Image = NDArray[np.float32]
FOLDER = "trabecular-micro-ct"
VOXEL_MM = 0.0195
SLAB = 50  # slices seen through at once: about 1 mm
USED_MM = 2.6  # side of the squares that are cut from a slab


@dataclass(frozen=True, eq=False)
class Trabeculae:
    """Slabs of cancellous bone, seen through from three sides."""

    slabs: Image  # (N, 200, 200) around 0, spread 1

    def texture(self, shape: tuple[int, int], pixel_mm: float, rng: np.random.Generator) -> Image:
        """A field (H, W) around 0 of spread 1, put together from squares of the slabs.

        Parameters
        ----------
        shape
            Rows and columns.
        pixel_mm
            Size of a pixel, mm.
        rng
            Draws the squares, how coarse the bone is, and how many slabs lie behind one another.
        """
        side = max(4, 2 * round(USED_MM / pixel_mm / 2))
        step = pixel_mm / VOXEL_MM / float(np.exp(rng.normal(0.3, 0.3)))
        pieces = self._pieces(side, step, rng)
        window = np.outer(np.hanning(side + 1)[:-1], np.hanning(side + 1)[:-1]).astype(np.float32)
        rows, columns = shape[0] // side + 3, shape[1] // side + 3
        field = np.zeros((rows * side, columns * side), np.float32)
        power = np.zeros((side, side), np.float32)
        for down, right in ((0, 0), (side // 2, 0), (0, side // 2), (side // 2, side // 2)):
            chosen = pieces[rng.integers(len(pieces), size=(rows, columns))] * window
            field += np.roll(chosen.transpose(0, 2, 1, 3).reshape(field.shape), (down, right), (0, 1))
            power += np.roll(window**2, (down, right), (0, 1))
        field /= np.tile(np.sqrt(power), (rows, columns))
        top, left = (int(v) for v in rng.integers(side, size=2))
        out = field[top + side : top + side + shape[0], left + side : left + side + shape[1]]
        return np.asarray(out / (out.std() + 1e-6), np.float32)

    def _pieces(self, side: int, step: float, rng: np.random.Generator) -> Image:
        """Squares (N, side, side) of one to three slabs in different places and turns."""
        blurred = {}
        turn = float(rng.uniform(0, np.pi))  # trabeculae of one bone run in one direction
        at = (np.arange(side) - (side - 1) / 2) * step
        pieces = np.zeros((24, side, side), np.float32)
        depth = int(rng.integers(1, 4))
        for piece in pieces:
            for _ in range(depth):
                which = int(rng.integers(len(self.slabs)))
                if which not in blurred:
                    blurred[which] = gaussian_filter(self.slabs[which], 0.45 * step)
                angle = turn + float(rng.normal(0, 0.25)) + np.pi * int(rng.integers(2))
                c, s = np.cos(angle), np.sin(angle)
                y = 100 + rng.uniform(-25, 25) + at[:, None] * c - at[None, :] * s
                x = 100 + rng.uniform(-25, 25) + at[:, None] * s + at[None, :] * c
                piece += map_coordinates(blurred[which], (y, x), order=1, mode="mirror")
        pieces -= pieces.mean(axis=(1, 2), keepdims=True)
        return pieces


def trabeculae(folder: Path) -> Trabeculae | None:
    """The micro-CT below a folder, in a subfolder named as `FOLDER`; None where there is none."""
    return _read(Path(folder))


def trabeculae_files(folder: Path) -> tuple[Path, ...]:
    """The slices of the micro-CT below a folder, in their order."""
    places = [folder] if folder.name == FOLDER else sorted(folder.rglob(FOLDER))
    return tuple(sorted(path for place in places[:1] for path in place.glob("*.tif*")))


@cache
def _read(folder: Path) -> Trabeculae | None:
    paths = trabeculae_files(folder)
    if len(paths) < SLAB:
        return None
    volume = np.stack([np.asarray(Pillow.open(path), np.float32) for path in paths])
    slabs = []
    for axis in range(3):
        turned = np.moveaxis(volume, axis, 0)
        for start in range(0, len(turned) - SLAB + 1, SLAB):
            slab = turned[start : start + SLAB].mean(axis=0)
            slab = slab - gaussian_filter(slab, 0.9 / VOXEL_MM)
            slabs.append(slab / slab.std())
    return Trabeculae(np.asarray(np.stack(slabs), np.float32))
