"""Volumes that are none of the three classes, or not fit to be judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.geometry import HEAD_SHAPE, UNUSABLE_MOTION, VOXEL_MM
from pipelines.joint_classification.simulation.case import Case
from pipelines.joint_classification.simulation.metacarpal import grid_mm, mineral_density, scan, simulate

Array = NDArray[np.float32]

UnknownKind = Literal["shaft", "carpal", "phalanx", "sphere", "moved", "metal", "upside_down", "noise", "inverted"]
UNKNOWN_KINDS: tuple[UnknownKind, ...] = (
    "shaft",
    "carpal",
    "phalanx",
    "sphere",
    "moved",
    "metal",
    "upside_down",
    "noise",
    "inverted",
)


def simulate_unknown(rng: np.random.Generator, kind: UnknownKind, patient: int, step: int = 2) -> Case:
    """A case that is none of the three classes, or not fit to be judged: the classifier is to refuse it.

    Parameters
    ----------
    rng
        Draws it.
    kind
        What it is.
    patient
        Number that the cases get.
    step
        As for `metacarpal.simulate`.
    """
    shape = tuple(len(range(0, size, step)) for size in HEAD_SHAPE)
    age = float(np.clip(rng.normal(55.0, 12.0), 20.0, 88.0))
    grey = np.asarray(_UNKNOWN[kind](rng, age, step), np.float32)
    spacing = VOXEL_MM * step
    none = np.zeros(shape, bool)
    return Case(grey, None, 0.0, none, patient, age, bool(rng.random() < 0.5), (spacing, spacing, spacing), kind)


def _some(rng: np.random.Generator, age: float, step: int, motion: int | None = None) -> Case:
    """A head of any class."""
    return simulate(rng, CLASSES[int(rng.integers(3))], 0, motion=motion, step=step)


def _bone(rng: np.random.Generator, inside: NDArray[np.bool_], age: float, step: int) -> Array:
    """Any solid as bone, scanned."""
    grey = mineral_density(rng, inside, np.zeros(inside.shape, bool), age, step)
    return scan(rng, grey, int(rng.integers(1, UNUSABLE_MOTION)), step)


def _shaft(rng: np.random.Generator, age: float, step: int) -> Array:
    """The middle of a long bone: a tube with marrow, no head."""
    d, h, w = grid_mm(step)
    across = np.sqrt((h - rng.normal(0, 0.5)) ** 2 + ((w - rng.normal(0, 0.5)) * rng.uniform(0.9, 1.2)) ** 2)
    radius = rng.uniform(3.0, 4.5)
    tube = np.where((across < radius) & (across > radius - rng.uniform(1.2, 1.8)), 0.9, 0.06) + 0 * d
    return scan(rng, np.asarray(tube, np.float32), int(rng.integers(1, UNUSABLE_MOTION)), step)


def _carpal(rng: np.random.Generator, age: float, step: int) -> Array:
    """A short irregular bone of the wrist, free on all sides."""
    d, h, w = grid_mm(step)
    middle = HEAD_SHAPE[0] * VOXEL_MM / 2
    sizes = rng.uniform(3.2, 5.2, 3)
    distance = np.sqrt(((d - middle) / sizes[0]) ** 2 + (h / sizes[1]) ** 2 + (w / sizes[2]) ** 2) - 1
    rough = ndimage.gaussian_filter(rng.standard_normal(distance.shape), 9.0 / step)
    return _bone(rng, distance + 0.18 * rough / rough.std() < 0, age, step)


def _sphere(rng: np.random.Generator, age: float, step: int) -> Array:
    """A calibration phantom: a solid ball."""
    d, h, w = grid_mm(step)
    ball = (d - HEAD_SHAPE[0] * VOXEL_MM / 2) ** 2 + h**2 + w**2 < rng.uniform(3.0, 5.5) ** 2
    return scan(rng, np.asarray(np.where(ball, 0.8, 0.05), np.float32), 1, step)


def _phalanx(rng: np.random.Generator, age: float, step: int) -> Array:
    """The base of a phalanx: the shaft comes from the other side and the end is hollow."""
    case = _some(rng, age, step)
    d, h, w = grid_mm(step)
    cup = (d - 0.5) ** 2 + h**2 + w**2 < rng.uniform(2.6, 4.0) ** 2
    return np.asarray(np.where(cup, 0.06, case.image[::-1]), np.float32)


def _noise(rng: np.random.Generator, age: float, step: int) -> Array:
    shape = tuple(len(range(0, size, step)) for size in HEAD_SHAPE)
    smooth = ndimage.gaussian_filter(rng.random(shape), rng.uniform(0, 3))
    return np.asarray((smooth - smooth.min()) / np.ptp(smooth), np.float32)


def _inverted(rng: np.random.Generator, age: float, step: int) -> Array:
    return np.asarray(1 - _some(rng, age, step).image, np.float32)


def _moved(rng: np.random.Generator, age: float, step: int) -> Array:
    """A scan that moved too much to be judged."""
    return _some(rng, age, step, motion=int(rng.integers(UNUSABLE_MOTION, 6))).image


def _metal(rng: np.random.Generator, age: float, step: int) -> Array:
    """A screw through the head, with its streaks."""
    image = _some(rng, age, step).image.copy()
    d, h, w = grid_mm(step)
    slope = rng.uniform(-0.6, 0.6)
    middle = rng.uniform(5.0, 8.0)
    screw = (d - middle - slope * w) ** 2 + (h - rng.uniform(-1.5, 1.5)) ** 2 < rng.uniform(0.5, 0.9) ** 2
    angle = np.arctan2(h, w + 0 * d)
    streak = 0.25 * np.cos(rng.integers(3, 7) * angle) * np.exp(-np.abs(d - middle) / 1.5)
    return np.asarray(np.clip(np.where(screw, 1.0, image + streak), 0, 1), np.float32)


def _upside_down(rng: np.random.Generator, age: float, step: int) -> Array:
    """A head that points the wrong way: a volume whose orientation was lost."""
    return np.ascontiguousarray(_some(rng, age, step).image[::-1])


_UNKNOWN: dict[UnknownKind, Callable[[np.random.Generator, float, int], Array]] = {
    "shaft": _shaft,
    "carpal": _carpal,
    "phalanx": _phalanx,
    "sphere": _sphere,
    "moved": _moved,
    "metal": _metal,
    "upside_down": _upside_down,
    "noise": _noise,
    "inverted": _inverted,
}
