"""Random fields and shapes that simulated volumes are put together from; distances are signed, negative inside."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Values = NDArray[np.floating[Any]]


def rotation(angles: Values) -> Values:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [each for each in range(3) if each != axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def ellipsoid(x: Field, y: Field, z: Field, centre: tuple[float, ...], radii: tuple[float, ...]) -> Field:
    scaled = np.sqrt(
        ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 + ((z - centre[2]) / radii[2]) ** 2
    )
    distance: Field = ((scaled - 1) * min(radii)).astype(np.float32)
    return distance


def tube(x: Field, y: Field, z: Field, first: Values, second: Values, radius: float) -> Field:
    direction = second - first
    length2 = max(float(direction @ direction), 1e-6)
    along = ((x - first[0]) * direction[0] + (y - first[1]) * direction[1] + (z - first[2]) * direction[2]) / length2
    along = np.clip(along, 0, 1)
    squared = sum((each - first[axis] - along * direction[axis]) ** 2 for axis, each in enumerate((x, y, z)))
    distance: Field = (np.sqrt(squared) - radius).astype(np.float32)
    return distance


def union(a: Field, b: Field, smooth_mm: float) -> Field:
    """Smooth minimum of two distances."""
    h = np.clip(0.5 + 0.5 * (b - a) / smooth_mm, 0, 1)
    joined: Field = (b * (1 - h) + a * h - smooth_mm * h * (1 - h)).astype(np.float32)
    return joined


def cover(distance: Values, softness: float) -> Field:
    """How much of a voxel lies inside, 0..1, from the signed distance to the surface."""
    cover: Field = (0.5 - 0.5 * np.tanh(distance / max(softness, 1e-3))).astype(np.float32)
    return cover


def noise(shape: tuple[int, int, int], scale_voxels: float, random: np.random.Generator) -> Field:
    """Smooth Gaussian noise with unit variance and the given correlation length."""
    from scipy.ndimage import gaussian_filter, zoom

    shrink = max(1, int(scale_voxels / 2))
    small = tuple(-(-size // shrink) + 2 for size in shape)
    noise = gaussian_filter(random.standard_normal(small).astype(np.float32), scale_voxels / shrink, mode="wrap")
    noise /= max(float(noise.std()), 1e-6)
    if shrink > 1:
        noise = zoom(noise, shrink, order=1)
    cropped: Field = noise[: shape[0], : shape[1], : shape[2]].astype(np.float32)
    return cropped


def ridges(shape: tuple[int, int, int], scale_voxels: float, random: np.random.Generator) -> Field:
    """A field whose zeros are sheets with a preferred direction: septa, trabeculae."""
    from scipy.ndimage import gaussian_filter

    stretch = scale_voxels * np.array([random.uniform(0.8, 1.5), random.uniform(1.0, 3.0), random.uniform(0.8, 1.5)])
    field = gaussian_filter(random.standard_normal(shape).astype(np.float32), stretch, mode="wrap")
    scaled: Field = field / max(float(field.std()), 1e-6)
    return scaled


def coil(shape: tuple[int, int, int], random: np.random.Generator) -> Field:
    """Smooth receive sensitivity, 0.6 to 1.3 over the volume."""
    grid = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    slope = random.uniform(-0.2, 0.2, 3)
    bend = random.uniform(-0.15, 0.05, 3)
    field = 1 + sum(slope[axis] * grid[axis] + bend[axis] * grid[axis] ** 2 for axis in range(3))
    sensitivity: Field = np.clip(field, 0.3, 1.5).astype(np.float32)
    return sensitivity
