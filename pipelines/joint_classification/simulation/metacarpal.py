"""Simulated HR-pQCT of the head of the second metacarpal: a bone in grey values and its mask.

A round head on a narrowing neck with a cortical shell, trabeculae of band-passed noise aligned with the load, and soft
tissue round it. Rheumatoid arthritis takes bites out of the shell in the bare area beside the cartilage; psoriatic
arthritis adds bone at capsule and ligament insertions; age thins shell and trabeculae, whatever the class. Motion
during the scan doubles edges and draws streaks, in the five grades in use (1 none, 5 unusable).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.joint_classification.classes import CLASSES, Condition
from pipelines.joint_classification.geometry import HEAD_SHAPE, UNUSABLE_MOTION, VOXEL_MM
from pipelines.joint_classification.simulation.case import Case

UNDERMINED_MM = 0.6  # how far under the shell the middle of an erosion is: wider inside than at its mouth


Array = NDArray[np.float32]


def simulate(
    rng: np.random.Generator,
    condition: Condition,
    patient: int,
    severity: float | None = None,
    motion: int | None = None,
    step: int = 1,
) -> Case:
    """One metacarpal head.

    Parameters
    ----------
    rng
        Draws everything.
    condition
        Class of the joint.
    patient
        Number that the cases get.
    severity
        0..1; drawn if None.
    motion
        Motion grade 1-5; drawn from 1-3 if None.
    step
        Sample every `step` voxels (coarser and quicker); the truth is on the same grid.
    """
    age, female, severity = _person(rng, condition, severity)
    inside, lesion, removed = _shape(rng, condition, severity, age, step)
    grey = mineral_density(rng, inside, removed, age, step)
    grey = scan(rng, grey, motion or int(rng.integers(1, UNUSABLE_MOTION)), step)
    spacing = VOXEL_MM * step
    return Case(grey, condition, severity, lesion, patient, age, female, (spacing, spacing, spacing), "")


def _person(rng: np.random.Generator, condition: Condition, severity: float | None) -> tuple[float, bool, float]:
    """Age, whether female, and severity where it is not given."""
    mean_age = {"healthy": 45.0, "ra": 55.0, "psa": 52.0}[condition]
    age = float(np.clip(rng.normal(mean_age, 12.0), 20.0, 88.0))
    female = bool(rng.random() < {"healthy": 0.56, "ra": 0.69, "psa": 0.52}[condition])
    if condition == "healthy":
        return age, female, 0.0
    return age, female, float(rng.beta(1.6, 1.6)) if severity is None else severity


def rescans(
    rng: np.random.Generator,
    condition: Condition,
    patient: int,
    severity: float | None,
    number: int,
    step: int = 2,
) -> list[Case]:
    """Scans of one head: its shape once; trabeculae, position, motion and noise new for each.

    Parameters
    ----------
    rng
        Draws everything.
    condition
        Class of the joint.
    patient
        Number that the cases get.
    severity
        0..1; drawn if None.
    number
        Of scans.
    step
        As for `simulate`.
    """
    anatomy = int(rng.integers(2**32))
    cases = []
    for _ in range(number):
        again = np.random.default_rng(anatomy)
        age, female, drawn = _person(again, condition, severity)
        inside, lesion, removed = _shape(again, condition, drawn, age, step)
        moved = tuple(int(shift) for shift in rng.integers(-1, 2, 2))  # the next scan never has the same position
        inside, lesion, removed = (np.roll(mask, moved, (1, 2)) for mask in (inside, lesion, removed))
        grey = scan(rng, mineral_density(rng, inside, removed, age, step), int(rng.integers(1, UNUSABLE_MOTION)), step)
        spacing = VOXEL_MM * step
        cases.append(Case(grey, condition, drawn, lesion, patient, age, female, (spacing, spacing, spacing)))
    return cases


def patients(seed: int, number: int, step: int = 2) -> list[Case]:
    """A cohort with one or two scans of each patient.

    Parameters
    ----------
    seed
        Of the cohort.
    number
        Of patients.
    step
        As for `simulate`.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for patient in range(number):
        condition = CLASSES[int(rng.choice(3, p=(0.2, 0.5, 0.3)))]
        severity = None if condition == "healthy" else float(rng.beta(1.6, 1.6))
        for _ in range(int(rng.integers(1, 3))):
            shifted = None if severity is None else float(np.clip(severity + rng.normal(0, 0.1), 0.05, 1.0))
            cases.append(simulate(rng, condition, patient, shifted, step=step))
    return cases


def grid_mm(step: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates in mm: along the bone from the shaft, and from its axis."""
    axes = [(np.arange(0, size, step) + (step - 1) / 2) * VOXEL_MM for size in HEAD_SHAPE]
    d, h, w = np.meshgrid(*axes, indexing="ij", sparse=True)
    return d, h - HEAD_SHAPE[1] * VOXEL_MM / 2, w - HEAD_SHAPE[2] * VOXEL_MM / 2


def _shape(
    rng: np.random.Generator, condition: Condition, severity: float, age: float, step: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """The bone, its lesions, and what erosion took away: three (D, H, W) masks."""
    d, h, w = grid_mm(step)
    length = HEAD_SHAPE[0] * VOXEL_MM
    radius = rng.uniform(4.6, 5.7)
    neck = radius * rng.uniform(0.62, 0.72)
    centre = length - radius - rng.uniform(0.4, 1.2)
    flat = rng.uniform(0.9, 1.1)
    lean = rng.normal(0.0, 0.05, 2)
    upright = (d, h, w)
    h, w = h - lean[0] * (d - centre), w - lean[1] * (d - centre)
    across = np.sqrt((h / flat) ** 2 + (w * flat) ** 2)  # (D, H, W)
    head = np.sqrt(across**2 + (d - centre) ** 2) - radius
    shaft = np.maximum(across - neck - 0.06 * np.abs(d - centre), d - centre)
    blend = 1.2
    distance = -blend * np.logaddexp(-head / blend, -shaft / blend)  # smooth union, mm outside the surface
    rough = ndimage.gaussian_filter(rng.standard_normal(distance.shape), 5.0 / step)
    distance = distance + rough / rough.std() * (0.07 + 0.0012 * age)
    lesion = np.zeros(distance.shape, bool)
    removed = np.zeros(distance.shape, bool)
    bare = centre - 0.55 * radius  # the bare area: a ring between cartilage and capsule

    def on_ring(position: float, spread: float, under: float = 0.0) -> tuple[NDArray[np.float64], ...]:
        """Offsets from a point `under` mm below the surface at a random side of the ring (radial more often, in RA)."""
        angle = rng.choice((0.0, np.pi), p=(0.3, 0.7)) + rng.normal(0, spread)
        along = position + rng.normal(0, 0.5)
        middle = (along, lean[0] * (along - centre), lean[1] * (along - centre))
        wide = _reach(distance, upright, middle, (0.0, np.sin(angle), np.cos(angle))) - under
        return d - along, h - wide * np.sin(angle), w - wide * np.cos(angle)

    if condition == "ra":
        for _ in range(1 + int(rng.random() < severity) + int(rng.random() < severity)):
            size = (0.35 + 1.5 * severity) * rng.uniform(0.7, 1.2)
            u, v, t = on_ring(bare + 0.6, 0.5, UNDERMINED_MM)
            bite = u**2 + v**2 + t**2 < size**2
            removed |= bite & (distance < 0)
            lesion |= bite & (np.abs(distance) < size)
    if condition == "psa":
        for _ in range(2 + int(3 * severity * rng.random() + 0.5)):
            height = (0.3 + 1.7 * severity) * rng.uniform(0.6, 1.2)
            u, v, t = on_ring(bare - 0.5, 0.9)
            near = np.exp(-((u**2 + v**2 + t**2) / (0.7 + 0.5 * severity) ** 2))
            grown = distance - height * near
            lesion |= (grown < 0) & (distance > -0.3) & (near > 0.15)
            distance = grown
    if rng.random() < (age - 35.0) / 90.0:  # the osteophyte of age: at the margin of the cartilage, any class
        u, v, t = on_ring(centre + 0.5, 1.2)
        distance = distance - rng.uniform(0.2, 0.5) * np.exp(-((u**2 + v**2 + t**2) / 0.5))
    return (distance < 0) & ~removed, lesion, removed


def _reach(
    distance: NDArray[np.float64],
    grid: tuple[NDArray[np.float64], ...],
    start: tuple[float, float, float],
    direction: tuple[float, float, float],
) -> float:
    """How far it is from a point in the bone to its surface, mm.

    Parameters
    ----------
    distance
        (D, H, W) mm outside the surface, negative inside.
    grid
        Coordinates of its voxels in mm, as of `grid_mm`.
    start, direction
        Where from, mm, and which way, of length 1; both along D, H, W.
    """
    far = np.arange(0.0, 9.0, 0.05)
    index = []
    for axis, (begin, way) in zip(grid, zip(start, direction, strict=True), strict=True):
        line = axis.ravel()
        index.append((begin + way * far - line[0]) / (line[1] - line[0]))
    outside = ndimage.map_coordinates(distance, index, order=1, mode="nearest") > 0
    return float(far[int(outside.argmax())] if outside.any() else far[-1])


def mineral_density(
    rng: np.random.Generator, inside: NDArray[np.bool_], removed: NDArray[np.bool_], age: float, step: int
) -> Array:
    """Mineral density, 0 soft tissue to 1 dense cortex.

    Parameters
    ----------
    rng
        Draws cortex and trabeculae.
    inside
        (D, H, W) the bone.
    removed
        (D, H, W) what erosion took away.
    age
        Years.
    step
        As for `simulate`.

    Returns
    -------
    Array
        (D, H, W).
    """
    spacing = VOXEL_MM * step
    depth = ndimage.distance_transform_edt(inside) * spacing
    thick = rng.uniform(0.45, 0.8) * (1.15 - 0.005 * age)
    cortex = 1 / (1 + np.exp((depth - thick) / 0.06))
    shape = inside.shape
    fine, coarse = 0.16 / spacing, 0.34 / spacing
    noise = rng.standard_normal(shape).astype(np.float32)
    lattice = ndimage.gaussian_filter(noise, (1.6 * fine, fine, fine)) - ndimage.gaussian_filter(noise, coarse)
    lattice = lattice / lattice.std()
    density = rng.uniform(0.45, 0.6) - 0.003 * (age - 50)
    trabeculae = density * 1 / (1 + np.exp(-3 * (lattice - 0.35)))
    grey = np.where(inside, np.maximum(0.95 * cortex, 0.08 + trabeculae), 0.05)
    return np.asarray(np.where(removed, 0.08, grey), np.float32)


def scan(rng: np.random.Generator, grey: Array, motion: int, step: int) -> Array:
    """Blur, motion by grade, and noise.

    Parameters
    ----------
    rng
        Draws motion and noise.
    grey
        (D, H, W) mineral density.
    motion
        Grade 1-5.
    step
        As for `simulate`.

    Returns
    -------
    Array
        (D, H, W) in 0..1.
    """
    image = ndimage.gaussian_filter(grey, 0.7 / step)
    if motion > 1:
        shift = (motion - 1) * rng.uniform(0.6, 1.2) / step
        angle = rng.uniform(0, np.pi)
        moved = ndimage.shift(image, (0, shift * np.sin(angle), shift * np.cos(angle)), order=1, mode="nearest")
        weight = 0.12 * (motion - 1)
        image = (1 - weight) * image + weight * moved
        columns = np.arange(image.shape[2])[None, None, :] * np.cos(angle)
        rows = np.arange(image.shape[1])[None, :, None] * np.sin(angle)
        streak = np.sin((columns + rows) * 2 * np.pi / rng.uniform(6, 14) * step)
        image = image + 0.012 * (motion - 1) ** 2 * streak
    image = image + rng.normal(0, rng.uniform(0.02, 0.05), image.shape)
    return np.asarray(np.clip(image, 0, 1.2) / 1.2, np.float32)
