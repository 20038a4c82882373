"""A metacarpophalangeal joint from the dorsal side: bone, soft tissue, and what each disease changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.joint_classification.classes import Condition
from pipelines.joint_classification.geometry import HEIGHT, PIXEL_MM, WIDTH
from pipelines.joint_classification.simulation.scanner import Tissue

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Bones:
    """The dorsal bone surface: depth in mm for every column, NaN in the joint gap."""

    surface_mm: Array  # (W,)
    head_left_mm: float  # where the metacarpal head rises from the neck: the bare area
    head_top_mm: float
    gap_mm: float  # middle of the joint space
    base_mm: float  # where the phalanx is highest
    x_mm: Array  # (W,) position along the finger


def draw_bones(rng: np.random.Generator, age: float) -> Bones:
    """A metacarpal head and the base of a phalanx; bone is rougher with age, in years."""
    x = np.arange(WIDTH) * PIXEL_MM
    gap = float(rng.uniform(14.0, 18.0))
    gap_width = float(rng.uniform(0.9, 1.6))
    depth = float(rng.uniform(5.0, 7.5))
    head_width = float(rng.uniform(5.5, 7.0))
    head_height = float(rng.uniform(1.6, 2.6))
    base_height = head_height * float(rng.uniform(0.55, 0.8))
    tilt = float(rng.normal(0.0, 0.03))
    top = gap - gap_width / 2 - head_width / 2
    neck = depth + head_height
    head = head_height * np.exp(-(np.abs((x - top) / (head_width / 2)) ** 2.6))
    base_top = gap + gap_width / 2 + 1.6
    base = base_height * np.exp(-(np.abs((x - base_top) / float(rng.uniform(2.2, 3.0))) ** 2.2))
    surface = neck - np.where(x < gap, head, base) + tilt * (x - gap) + np.where(x > gap, 0.3, 0.0)
    # bone is never a spline: low waves, and with age small steps
    rough = ndimage.gaussian_filter1d(rng.standard_normal(WIDTH), 6.0) * 0.14
    rough += ndimage.gaussian_filter1d(rng.standard_normal(WIDTH), 2.0) * 0.06 * max(0.0, age - 40.0) / 40.0
    surface = surface + rough
    surface[np.abs(x - gap) < gap_width / 2] = np.nan
    return Bones(surface, top - head_width / 2, top, gap, base_top, x)


def draw_joint(rng: np.random.Generator, condition: Condition, severity: float, age: float) -> Tissue:
    """Tissue of a metacarpophalangeal joint with the changes of a class.

    Parameters
    ----------
    rng
        Draws the joint.
    condition
        Class of the joint.
    severity
        0..1.
    age
        Years.
    """
    bones = draw_bones(rng, age)
    surface = bones.surface_mm.copy()
    lesion = np.zeros((HEIGHT, WIDTH), bool)
    z = np.arange(HEIGHT)[:, None] * PIXEL_MM  # (H, 1) depth
    if condition == "psa":
        surface = _proliferate(rng, bones, surface, severity, lesion, z)
    # every older joint has a spur or two at the margin of the cartilage: smaller, rounder, on the head
    if rng.random() < (age - 35.0) / 90.0:
        surface = spur(surface, bones.x_mm, bones.head_top_mm + rng.uniform(-1.0, 2.0), rng.uniform(0.2, 0.5), 0.5)
    tissue = draw_soft_tissue(rng, bones, surface, z)
    tissue.lesion |= lesion
    synovium = {"healthy": 0.0, "ra": 0.35 + 1.9 * severity, "psa": 0.15 + 0.9 * severity}[condition]
    effusion = float(rng.uniform(0.0, 0.5)) if rng.random() < 0.35 else 0.0  # a little fluid is normal
    fill_recess(rng, tissue, bones, surface, z, synovium, effusion, condition == "ra")
    if condition == "ra":
        _erode(rng, tissue, bones, surface, severity, z)
    if condition == "psa":
        _thicken_enthesis(rng, tissue, bones, surface, severity, z)
    return tissue


def draw_soft_tissue(rng: np.random.Generator, bones: Bones, surface: Array, z: Array) -> Tissue:
    """Skin, fat, extensor tendon, joint capsule, cartilage, bone and its shadow.

    Parameters
    ----------
    rng
        Draws the tissue.
    bones
        The bones.
    surface
        (W,) depth of the bone surface, mm; NaN in the joint space.
    z
        (H, 1) depth of each row, mm.
    """
    x = bones.x_mm[None, :]
    filled = np.where(np.isnan(surface), np.nanmax(surface) + 1.5, surface)[None, :]
    skin = float(rng.uniform(0.8, 2.2)) + 0.15 * np.sin(x / 9.0 + rng.uniform(0, 6))
    skin_thick = float(rng.uniform(0.7, 1.2))
    scatter = np.full((HEIGHT, WIDTH), 0.02)  # gel above the skin
    scatter = np.where(z > skin, 3.5, scatter)
    scatter = np.where(z > skin + skin_thick, float(rng.uniform(0.45, 0.9)), scatter)
    smooth = ndimage.gaussian_filter1d(np.broadcast_to(filled, (1, WIDTH)), 14.0, axis=1)
    tendon_top = smooth - float(rng.uniform(2.6, 3.4))
    tendon_thick = float(rng.uniform(0.9, 1.4))
    fibres = 2.4 + 1.8 * np.sin(
        (z - tendon_top) * 2 * np.pi / 0.42
        + ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), (3, 18)) * 9.0
    )
    anisotropy = float(rng.uniform(0.45, 1.0))  # a tilted probe turns the tendon dark
    tendon = (z > tendon_top) & (z < tendon_top + tendon_thick)
    scatter = np.where(tendon, fibres * anisotropy, scatter)
    capsule = (z > tendon_top + tendon_thick) & (z < filled)
    scatter = np.where(capsule, float(rng.uniform(0.8, 1.5)), scatter)
    cartilage_on = (np.abs(x - bones.head_top_mm) < 3.2) & (z > filled - float(rng.uniform(0.3, 0.6))) & (z < filled)
    scatter = np.where(cartilage_on, 0.05, scatter)
    below = z > filled
    gap = np.isnan(surface)[None, :] & np.ones((HEIGHT, 1), bool)
    scatter = np.where(below & ~gap, 0.03, scatter)
    scatter = np.where(
        below & gap, 0.6 * np.exp(-(z - filled) / 1.6) + 0.02, scatter
    )  # little comes back from deep in the gap
    tissue = Tissue(
        scatter,
        np.zeros((HEIGHT, WIDTH)),
        np.zeros((HEIGHT, WIDTH)),
        np.zeros((HEIGHT, WIDTH)),
        np.zeros((HEIGHT, WIDTH), bool),
    )
    reflect(rng, tissue, surface)
    for depth, strength in ((skin, 5.0), (skin + skin_thick, 2.0), (tendon_top, 2.5), (tendon_top + tendon_thick, 2.0)):
        rows = np.round(np.broadcast_to(depth, (1, WIDTH))[0] / PIXEL_MM).astype(int)
        inside = (rows >= 0) & (rows < HEIGHT)
        tissue.specular[rows[inside], np.arange(WIDTH)[inside]] += strength * rng.uniform(0.5, 1.0)
    return tissue


def reflect(rng: np.random.Generator, tissue: Tissue, surface: Array) -> None:
    """Add the bright bone line, dimmer where the surface leans away from the beam, and the shadow under it.

    Parameters
    ----------
    rng
        Draws the angle of the probe.
    tissue
        Changed in place.
    surface
        (W,) depth of the bone surface, mm; NaN: no bone.
    """
    filled = np.where(np.isnan(surface), 1e3, surface)
    slope = np.gradient(np.where(np.isnan(surface), np.nanmean(surface), surface), PIXEL_MM)
    lean = np.arctan(slope) - float(rng.normal(0.0, 0.06))  # probe angle
    strength = 28.0 * np.exp(-((lean / 0.5) ** 2)) + 4.0
    rows = np.round(filled / PIXEL_MM).astype(int)
    inside = (rows >= 0) & (rows < HEIGHT)
    columns = np.arange(WIDTH)[inside]
    tissue.specular[rows[inside], columns] += strength[inside] * rng.uniform(0.6, 1.1, columns.size)
    tissue.shadow = np.maximum(tissue.shadow, np.arange(HEIGHT)[:, None] > rows[None, :] + 1)


def fill_recess(
    rng: np.random.Generator,
    tissue: Tissue,
    bones: Bones,
    surface: Array,
    z: Array,
    synovium_mm: float,
    effusion_mm: float,
    is_ra: bool,
) -> None:
    """Lift the capsule over the neck: hypoechoic synovium, anechoic fluid, and flow in inflamed synovium.

    Parameters
    ----------
    rng
        Draws place and extent.
    tissue
        Changed in place.
    bones
        The bones.
    surface
        (W,) depth of the bone surface, mm; NaN in the joint space.
    z
        (H, 1) depth of each row, mm.
    synovium_mm
        Thickness of the synovium.
    effusion_mm
        Thickness of the fluid.
    is_ra
        Whether flow is as frequent as in rheumatoid arthritis.
    """
    x = bones.x_mm[None, :]
    filled = np.where(np.isnan(surface), np.nanmax(surface), surface)[None, :]
    centre = bones.head_left_mm + float(rng.uniform(-0.4, 0.8))
    spread = np.exp(-(((x - centre) / float(rng.uniform(2.6, 3.4))) ** 2))
    spread = spread + 0.55 * np.exp(-(((x - bones.gap_mm) / 1.8) ** 2))  # and over the joint line
    thick = (synovium_mm + effusion_mm) * spread * (1.0 + 0.15 * rng.standard_normal())
    inside = (z < filled) & (z > filled - thick)
    fluid = inside & (z > filled - thick * effusion_mm / max(synovium_mm + effusion_mm, 1e-6))
    tissue.scatter = np.where(inside, float(rng.uniform(0.1, 0.2)), tissue.scatter)
    tissue.scatter = np.where(fluid, 0.02, tissue.scatter)
    if synovium_mm > 0:
        tissue.lesion |= inside & (thick > 0.5)
        if rng.random() < min(0.9, 0.25 + 0.35 * synovium_mm):
            spots = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), 1.6)
            flow = inside & (spots > np.quantile(spots, 0.9 if is_ra else 0.95))
            tissue.doppler = np.maximum(tissue.doppler, flow.astype(float))


def _erode(rng: np.random.Generator, tissue: Tissue, bones: Bones, surface: Array, severity: float, z: Array) -> None:
    """Break the bone line in the bare area: a crater with an echogenic floor and enhancement behind it."""
    if rng.random() > 0.15 + 0.85 * severity:
        return  # early disease is synovitis alone
    for _ in range(1 + int(severity > 0.7 and rng.random() < 0.6)):
        centre = bones.head_left_mm + float(rng.uniform(-0.3, 1.1))
        width, depth = 0.35 + 0.9 * severity * rng.uniform(0.6, 1.2), 0.5 + 1.5 * severity * rng.uniform(0.6, 1.2)
        across = np.abs(bones.x_mm - centre) / width
        columns = np.flatnonzero((across < 1) & ~np.isnan(surface))
        for column in columns:
            floor = surface[column] + depth * np.sqrt(1 - across[column] ** 2)
            top, bottom = int(surface[column] / PIXEL_MM), int(floor / PIXEL_MM)
            if bottom >= HEIGHT - 1 or top < 1:
                continue
            tissue.specular[top - 1 : top + 2, column] = 0.0
            tissue.scatter[top - 1 : bottom, column] = 0.15
            tissue.shadow[top - 1 : bottom + 1, column] = 0.0
            tissue.specular[bottom, column] += 16.0 * rng.uniform(0.5, 1.0)
            tissue.lesion[max(0, top - 2) : bottom + 2, column] = True


def _proliferate(
    rng: np.random.Generator, bones: Bones, surface: Array, severity: float, lesion: NDArray[np.bool_], z: Array
) -> Array:
    """Whiskers of new bone where capsule and tendon insert: at the neck and at the base of the phalanx."""
    changed = surface.copy()
    places = [bones.head_left_mm - rng.uniform(0.2, 1.2), bones.base_mm + rng.uniform(-0.3, 1.2)]
    for place in places:
        if rng.random() > 0.25 + 0.75 * severity:
            continue
        for _ in range(int(rng.integers(1, 4))):
            height = (0.25 + 1.15 * severity) * rng.uniform(0.6, 1.15)
            changed = spur(changed, bones.x_mm, place + rng.normal(0, 0.5), height, rng.uniform(0.16, 0.38))
    grown = np.nan_to_num(surface - changed) > 0.12
    if grown.any():
        rows = np.where(np.isnan(changed), 0, changed)[None, :]
        old = np.where(np.isnan(surface), 0, surface)[None, :]
        lesion |= (z > rows - 0.35) & (z < old + 0.2) & ndimage.binary_dilation(grown, iterations=2)[None, :]
    return changed


def spur(surface: Array, x: Array, centre: float, height: float, width: float) -> Array:
    """A bone surface with a bump.

    Parameters
    ----------
    surface
        (W,) depth, mm.
    x
        (W,) position along the finger, mm.
    centre
        Of the bump, mm.
    height
        Towards the probe, mm.
    width
        Half-width, mm.
    """
    lifted: Array = surface - height * np.exp(-(np.abs((x - centre) / width) ** 1.5))
    return lifted


def _thicken_enthesis(
    rng: np.random.Generator, tissue: Tissue, bones: Bones, surface: Array, severity: float, z: Array
) -> None:
    """A dark halo round the extensor tendon and a thick, dark enthesis at the phalanx, some with flow."""
    x = bones.x_mm[None, :]
    filled = np.where(np.isnan(surface), np.nanmax(surface), surface)[None, :]
    smooth = ndimage.gaussian_filter1d(np.broadcast_to(filled, (1, WIDTH)), 14.0, axis=1)
    thick = (0.1 + 0.8 * severity) * float(rng.uniform(0.5, 1.2))
    centre = bones.base_mm + rng.uniform(-1.0, 1.0)
    near = np.exp(-(((x - centre) / float(rng.uniform(3.0, 5.5))) ** 2))
    top = smooth - 3.3
    halo = (z > top - thick * near) & (z < top)
    enthesis = (z < filled) & (z > filled - (0.3 + thick) * near) & (np.abs(x - bones.base_mm) < 2.4)
    tissue.scatter = np.where(halo | enthesis, 0.15, tissue.scatter)
    if thick > 0.3:
        tissue.lesion |= (halo | enthesis) & (near > 0.45)
        if rng.random() < 0.5:
            spots = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), 1.4)
            tissue.doppler = np.maximum(tissue.doppler, ((halo | enthesis) & (spots > np.quantile(spots, 0.9))) * 1.0)
