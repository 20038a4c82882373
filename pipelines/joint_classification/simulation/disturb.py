"""Joints with something that belongs to no class: what the gate learns to stumble over.

Two ways. A picture of a joint is disturbed: bright lines, bright or coarse blobs, patches of other pictures, surfaces
that bulge, at random places. Or a joint is made up, of the building blocks of the simulator, that has no disease there
is: echoes that run anywhere, deposits, steps, bumps and pits of the bone at random places. No disease is meant: the
unknowns that the gate is measured on (gout, osteoarthritis and the others) are not among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.joint_classification.geometry import HEIGHT, PIXEL_MM, WIDTH
from pipelines.joint_classification.simulation.finger import draw_bones, draw_soft_tissue, fill_recess, spur
from pipelines.joint_classification.simulation.scanner import Tissue, machine, scan

Array = NDArray[np.float32]

FEWEST, MOST = 1, 3  # disturbances of one picture


def disturbed(rng: np.random.Generator, image: Array, other: Array) -> Array:
    """An image with one to three disturbances.

    Parameters
    ----------
    rng
        Draws them.
    image
        (H, W) in 0..1.
    other
        (H, W) of another joint, for the patches.
    """
    for _ in range(int(rng.integers(FEWEST, MOST + 1))):
        kind = _KINDS[int(rng.integers(len(_KINDS)))]
        image = np.asarray(np.clip(kind(rng, image, other), 0, 1), np.float32)
    return image


def _place(rng: np.random.Generator, image: Array) -> tuple[float, float]:
    """A row and column near what is bright: tissue and bone, rather than the shadow below."""
    rows = np.arange(image.shape[0])
    column = float(rng.uniform(0.1, 0.9) * image.shape[1])
    around = image[:, max(0, int(column) - 4) : int(column) + 5].mean(1)
    row = float(rng.choice(rows, p=around / around.sum())) if around.sum() > 0 else float(rng.choice(rows))
    return row, column


def _ellipse(rng: np.random.Generator, shape: tuple[int, ...], row: float, column: float) -> Array:
    """A soft spot, 0..1."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
    across = -(x - column) * np.sin(angle) + (y - row) * np.cos(angle)
    distance = np.hypot(along / rng.uniform(5.0, 18.0), across / rng.uniform(3.0, 9.0))
    return np.asarray(1 / (1 + np.exp(8 * (distance - 1))), np.float32)


def _line(rng: np.random.Generator, image: Array, other: Array) -> Array:
    """A bright bent line."""
    row, column = _place(rng, image)
    x = np.arange(image.shape[1])
    path = row + rng.normal(0, 0.15) * (x - column) + rng.normal(0, 0.004) * (x - column) ** 2
    length, thick = rng.uniform(8.0, 35.0), rng.uniform(0.7, 1.8)
    on = 1 / (1 + np.exp(np.abs(x - column) - length))
    y = np.arange(image.shape[0])[:, None]
    echo = np.exp(-(((y - path) / thick) ** 2)) * on * rng.uniform(0.7, 1.1)
    return np.maximum(image, np.asarray(echo * (0.8 + 0.2 * rng.random(image.shape)), np.float32))


def _blob(rng: np.random.Generator, image: Array, other: Array) -> Array:
    """A bright or coarse spot."""
    spot = _ellipse(rng, image.shape, *_place(rng, image))
    grain = ndimage.gaussian_filter(rng.standard_normal(image.shape), rng.uniform(0.5, 1.5))
    texture = rng.uniform(0.35, 0.85) + rng.uniform(0.1, 0.3) * grain / grain.std()
    return np.asarray((1 - spot) * image + spot * texture, np.float32)


def _patch(rng: np.random.Generator, image: Array, other: Array) -> Array:
    """A piece of another picture, from another place."""
    spot = _ellipse(rng, image.shape, *_place(rng, image))
    moved = np.roll(other, tuple(int(shift) for shift in rng.integers(-50, 51, 2)), (0, 1))
    return np.asarray((1 - spot) * image + spot * moved, np.float32)


def _bulge(rng: np.random.Generator, image: Array, other: Array) -> Array:
    """What lies there pushed up or down, or to the side, wider than any spur."""
    row, column = _place(rng, image)
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    near = np.exp(-(((y - row) / rng.uniform(8.0, 20.0)) ** 2 + ((x - column) / rng.uniform(4.0, 10.0)) ** 2))
    down, right = rng.choice((-1.0, 1.0)) * rng.uniform(6.0, 13.0), rng.normal(0.0, 4.0)
    return np.asarray(
        ndimage.map_coordinates(image, [y - down * near, x - right * near], order=1, mode="nearest"), np.float32
    )


_KINDS: tuple[Callable[[np.random.Generator, Array, Array], Array], ...] = (_line, _blob, _patch, _bulge)


# ---- made-up joints
def made_up(rng: np.random.Generator) -> Array:
    """A finger joint with one to three changes that no class has: (H, W) in 0..1."""
    age = float(np.clip(rng.normal(52.0, 14.0), 20.0, 88.0))
    bones = draw_bones(rng, age)
    z = np.arange(HEIGHT)[:, None] * PIXEL_MM
    kinds = rng.choice(5, size=int(rng.integers(1, 4)), replace=False)
    surface = bones.surface_mm.copy()
    for kind in kinds:
        if kind == 0:  # a bump, wider than a spur
            height, width = rng.uniform(0.7, 2.4), rng.uniform(0.6, 2.0)
            surface = spur(surface, bones.x_mm, rng.uniform(2.0, WIDTH * PIXEL_MM - 2.0), height, width)
        elif kind == 1:  # a pit, anywhere
            surface = spur(surface, bones.x_mm, rng.uniform(2.0, WIDTH * PIXEL_MM - 2.0), -rng.uniform(0.6, 2.0), 0.8)
        elif kind == 2:  # a step
            low, high = np.sort(rng.uniform(0.0, WIDTH * PIXEL_MM, 2))
            moved = rng.choice((-1.0, 1.0)) * rng.uniform(0.6, 1.8)
            surface = np.where((bones.x_mm > low) & (bones.x_mm < high), surface + moved, surface)
    tissue = draw_soft_tissue(rng, bones, surface, z)
    if rng.random() < 0.5:
        fill_recess(rng, tissue, bones, surface, z, float(rng.uniform(0.2, 2.0)), 0.0, True)
    if 3 in kinds or not set(kinds) & {0, 1, 2}:
        _echo(rng, tissue)
    if 4 in kinds:
        _deposit(rng, tissue, z)
    return scan(rng, tissue, machine(rng))


def _echo(rng: np.random.Generator, tissue: Tissue) -> None:
    """A surface that reflects, on its way through the tissue."""
    x = np.arange(WIDTH) * PIXEL_MM
    centre, length = rng.uniform(2.0, WIDTH * PIXEL_MM - 2.0), rng.uniform(2.0, 10.0)
    depth = rng.uniform(2.0, 10.0) + rng.normal(0, 0.2) * (x - centre) + rng.normal(0, 0.02) * (x - centre) ** 2
    rows = np.round(depth / PIXEL_MM).astype(int)
    columns = np.flatnonzero((np.abs(x - centre) < length / 2) & (rows > 0) & (rows < HEIGHT))
    tissue.specular[rows[columns], columns] += rng.uniform(8.0, 26.0) * rng.uniform(0.6, 1.1, columns.size)


def _deposit(rng: np.random.Generator, tissue: Tissue, z: NDArray[np.floating[Any]]) -> None:
    """A lump of another texture."""
    x = np.arange(WIDTH)[None, :] * PIXEL_MM
    across, deep = rng.uniform(0.8, 3.0), rng.uniform(0.5, 1.5)
    lump = ((x - rng.uniform(2.0, 24.0)) / across) ** 2 + ((z - rng.uniform(3.0, 9.0)) / deep) ** 2 < 1
    grain = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), rng.uniform(0.4, 1.5))
    strength = rng.uniform(1.8, 5.0) * np.exp(rng.uniform(0.0, 0.6) * grain / grain.std())
    tissue.scatter = np.where(lump, strength, tissue.scatter)


# ---- volumes
def disturbed_volume(rng: np.random.Generator, image: Array, other: Array) -> Array:
    """A volume with one or two disturbances.

    Parameters
    ----------
    rng
        Draws them.
    image
        (D, H, W) in 0..1.
    other
        (D, H, W) of another joint, for the patches.
    """
    for _ in range(int(rng.integers(1, 3))):
        spot = _ellipsoid(rng, image)
        kind = int(rng.integers(3))
        if kind == 0:  # a coarse lump, as dense as anything
            grain = ndimage.gaussian_filter(rng.standard_normal(image.shape), rng.uniform(0.6, 1.5))
            put = rng.uniform(0.1, 1.0) + rng.uniform(0.05, 0.25) * grain / grain.std()
        elif kind == 1:  # a piece of another volume, turned
            turned = np.rot90(other, int(rng.integers(1, 4)), (1, 2)) if other.shape[1] == other.shape[2] else other
            put = np.roll(turned, tuple(int(shift) for shift in rng.integers(-16, 17, 3)), (0, 1, 2))
        else:  # the scan displaced there
            put = np.roll(image, tuple(int(shift) for shift in rng.integers(-6, 7, 3)), (0, 1, 2))
        image = np.asarray(np.clip((1 - spot) * image + spot * put, 0, 1), np.float32)
    return image


def _ellipsoid(rng: np.random.Generator, image: Array) -> Array:
    """A soft spot in a volume, 0..1, somewhere in the bone or at its edge."""
    bright = np.quantile(image, 0.8)
    inside = np.argwhere(image > bright) if (image > bright).any() else np.argwhere(image >= bright)  # of a mask
    centre = inside[int(rng.integers(len(inside)))]
    axes = np.meshgrid(*(np.arange(size) for size in image.shape), indexing="ij", sparse=True)
    squares = [((x - c) / rng.uniform(4.0, 14.0)) ** 2 for x, c in zip(axes, centre, strict=True)]
    return np.asarray(1 / (1 + np.exp(8 * (np.sqrt(squares[0] + squares[1] + squares[2]) - 1))), np.float32)
