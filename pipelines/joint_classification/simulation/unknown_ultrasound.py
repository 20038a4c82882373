"""Pictures that are none of the three classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.geometry import HEIGHT, PIXEL_MM, WIDTH
from pipelines.joint_classification.simulation.case import Case
from pipelines.joint_classification.simulation.finger import draw_bones, draw_soft_tissue, reflect, spur
from pipelines.joint_classification.simulation.scanner import Tissue, machine, scan
from pipelines.joint_classification.simulation.ultrasound import simulate

Array = NDArray[np.floating[Any]]

UnknownKind = Literal[
    "gout", "osteoarthritis", "knee", "hip", "elbow", "tendon", "muscle", "vessel", "noise", "inverted", "blank"
]
UNKNOWN_KINDS: tuple[UnknownKind, ...] = (
    "gout",
    "osteoarthritis",
    "knee",
    "hip",
    "elbow",
    "tendon",
    "muscle",
    "vessel",
    "noise",
    "inverted",
    "blank",
)


def simulate_unknown(rng: np.random.Generator, kind: UnknownKind, patient: int) -> Case:
    """A case that is none of the three classes: the classifier is to refuse it.

    Parameters
    ----------
    rng
        Draws it.
    kind
        What it is.
    patient
        Number that the cases get.
    """
    image = _UNKNOWN[kind](rng)
    none = np.zeros((HEIGHT, WIDTH), bool)
    age = float(np.clip(rng.normal(58.0, 14.0), 20.0, 88.0))
    return Case(image, None, 0.0, none, patient, age, bool(rng.random() < 0.5), (PIXEL_MM, PIXEL_MM), kind)


def _gout(rng: np.random.Generator) -> NDArray[np.float32]:
    """Urate on the cartilage: a bright line along it, dark cartilage under that, and a tophus with flecks."""
    bones = draw_bones(rng, 60.0)
    x, z = bones.x_mm[None, :], np.arange(HEIGHT)[:, None] * PIXEL_MM
    tissue = draw_soft_tissue(rng, bones, bones.surface_mm, z)
    filled = np.where(np.isnan(bones.surface_mm), 1e3, bones.surface_mm)
    thick = rng.uniform(0.7, 1.1)  # of the cartilage of a metacarpal head with what lies on it
    on_head = np.abs(x - bones.head_top_mm) < 3.4
    cartilage = on_head & (z > filled[None, :] - thick) & (z < filled[None, :] - PIXEL_MM)
    tissue.scatter = np.where(cartilage, 0.03, tissue.scatter)
    rows = np.round((filled - thick) / PIXEL_MM).astype(int)
    columns = np.flatnonzero(on_head[0] & (rows > 0) & (rows < HEIGHT))
    tissue.specular[rows[columns], columns] += 22.0 * rng.uniform(0.6, 1.1, columns.size)
    place = bones.head_left_mm + rng.uniform(-1.0, 1.0)
    radius = rng.uniform(1.2, 2.2)
    top = np.nanmin(bones.surface_mm) + rng.uniform(-0.6, 0.6)
    tophus = ((x - place) / radius) ** 2 + ((z - top) / (0.7 * radius)) ** 2 < 1
    flecks = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), 0.8)
    tophus &= (z < filled[None, :]) & ~cartilage
    tissue.scatter = np.where(tophus, 2.2 + 6.0 * (flecks > 0.4), tissue.scatter)
    return scan(rng, tissue, machine(rng))


def _osteoarthritis(rng: np.random.Generator) -> NDArray[np.float32]:
    """Large marginal osteophytes on both sides of a narrow joint, no synovium to speak of."""
    bones = draw_bones(rng, 80.0)
    z = np.arange(HEIGHT)[:, None] * PIXEL_MM
    surface = bones.surface_mm
    for place in (bones.gap_mm - 1.2, bones.gap_mm + 1.3):
        surface = spur(surface, bones.x_mm, place, rng.uniform(1.5, 2.6), rng.uniform(0.8, 1.3))
    surface = np.where(np.isnan(surface), np.nanmax(surface) - 0.4, surface)
    return scan(rng, draw_soft_tissue(rng, bones, surface, z), machine(rng))


def _layers(rng: np.random.Generator, fibre_mm: float, pennation: float) -> Tissue:
    x, z = np.arange(WIDTH)[None, :] * PIXEL_MM, np.arange(HEIGHT)[:, None] * PIXEL_MM
    wave = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), (4, 20)) * 12
    scatter = 0.9 + 0.7 * np.sin((z + pennation * x) * 2 * np.pi / fibre_mm + wave)
    empty = np.zeros((HEIGHT, WIDTH))
    return Tissue(scatter, empty.copy(), empty.copy(), empty.copy(), np.zeros((HEIGHT, WIDTH), bool))


def _knee(rng: np.random.Generator) -> NDArray[np.float32]:
    """The femoral trochlea from above: one wide curve of bone under a dark band of cartilage, no gap."""
    x, z = np.arange(WIDTH) * PIXEL_MM, np.arange(HEIGHT)[:, None] * PIXEL_MM
    bend = rng.uniform(0.015, 0.035) * rng.choice((-1.0, 1.0))
    surface = rng.uniform(9.0, 13.0) - bend * (x - rng.uniform(9, 16)) ** 2
    return _other_joint(rng, np.clip(surface, 3.0, 17.0), z, cartilage_mm=rng.uniform(1.5, 2.8))


def _elbow(rng: np.random.Generator) -> NDArray[np.float32]:
    """Layers of muscle over a long, almost flat humerus with a shallow fossa."""
    x, z = np.arange(WIDTH) * PIXEL_MM, np.arange(HEIGHT)[:, None] * PIXEL_MM
    surface = rng.uniform(10.0, 15.0) + rng.uniform(-0.12, 0.12) * (x - 13)
    surface = surface + rng.uniform(0.8, 2.5) * np.exp(-(((x - rng.uniform(6, 20)) / rng.uniform(2.5, 5)) ** 2))
    return _other_joint(rng, surface, z, cartilage_mm=rng.uniform(0.0, 0.6))


def _hip(rng: np.random.Generator) -> NDArray[np.float32]:
    """A child's hip: the straight ilium, then a round head of cartilage with small echoes and a bright core."""
    x, z = np.arange(WIDTH) * PIXEL_MM, np.arange(HEIGHT)[:, None] * PIXEL_MM
    radius, place, depth = rng.uniform(4.5, 7.0), rng.uniform(14.0, 19.0), rng.uniform(9.0, 12.0)
    ilium = np.where(x < place - radius, depth + rng.uniform(-1, 1.5) + 0.05 * x, np.nan)
    tissue = _covered(rng, np.where(np.isnan(ilium), 18.0, ilium), z)
    reflect(rng, tissue, ilium)
    head = ((x[None, :] - place) / radius) ** 2 + ((z - depth) / radius) ** 2
    flecks = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), 0.9)
    tissue.scatter = np.where(head < 1, 0.12 + 0.6 * (flecks > 0.7), tissue.scatter)
    tissue.specular = np.where(np.abs(head - 1) < 0.06, 4.0 * rng.uniform(0.4, 1.0, head.shape), tissue.specular)
    tissue.scatter = np.where(head < rng.uniform(0.0, 0.12), 5.0, tissue.scatter)
    return scan(rng, tissue, machine(rng))


def _covered(rng: np.random.Generator, surface: Array, z: Array) -> Tissue:
    """Skin, fat and muscle over a bone surface (W,) in mm without any gap; the bone itself is not yet drawn."""
    tissue = _layers(rng, float(rng.uniform(0.8, 2.4)), float(rng.normal(0, 0.1)))
    skin = float(rng.uniform(0.5, 2.0))
    tissue.scatter = np.where(z < skin + 0.9, 3.0, 0.55 * tissue.scatter)
    tissue.scatter = np.where(z < skin, 0.02, tissue.scatter)
    tissue.scatter = np.where(z > surface[None, :], 0.05, tissue.scatter)
    return tissue


def _other_joint(rng: np.random.Generator, surface: Array, z: Array, cartilage_mm: float) -> NDArray[np.float32]:
    tissue = _covered(rng, surface, z)
    band = (z < surface[None, :]) & (z > surface[None, :] - cartilage_mm)
    tissue.scatter = np.where(band, 0.06, tissue.scatter)
    reflect(rng, tissue, surface)
    return scan(rng, tissue, machine(rng))


def _tendon(rng: np.random.Generator) -> NDArray[np.float32]:
    """A long tendon without any joint under it."""
    return scan(rng, _layers(rng, rng.uniform(0.35, 0.6), rng.normal(0, 0.02)), machine(rng))


def _muscle(rng: np.random.Generator) -> NDArray[np.float32]:
    """Pennate muscle between two aponeuroses."""
    tissue = _layers(rng, rng.uniform(1.2, 2.6), rng.uniform(0.2, 0.6))
    tissue.scatter *= 0.6
    for depth in (rng.uniform(2, 5), rng.uniform(11, 17)):
        rows = np.clip((depth + 0.05 * np.arange(WIDTH) * PIXEL_MM) / PIXEL_MM, 0, HEIGHT - 1).astype(int)
        tissue.specular[rows, np.arange(WIDTH)] += 14.0
    return scan(rng, tissue, machine(rng))


def _vessel(rng: np.random.Generator) -> NDArray[np.float32]:
    """A round anechoic vessel in fat."""
    tissue = _layers(rng, 4.0, 0.0)
    x, z = np.arange(WIDTH)[None, :] * PIXEL_MM, np.arange(HEIGHT)[:, None] * PIXEL_MM
    radius = rng.uniform(2.0, 4.5)
    lumen = (x - rng.uniform(8, 18)) ** 2 + (z - rng.uniform(6, 14)) ** 2 < radius**2
    tissue.scatter = np.where(lumen, 0.03, tissue.scatter)
    return scan(rng, tissue, machine(rng))


def _noise(rng: np.random.Generator) -> NDArray[np.float32]:
    smooth = ndimage.gaussian_filter(rng.random((HEIGHT, WIDTH)), rng.uniform(0, 2))
    return np.asarray((smooth - smooth.min()) / np.ptp(smooth), np.float32)


def _inverted(rng: np.random.Generator) -> NDArray[np.float32]:
    return 1 - simulate(rng, CLASSES[int(rng.integers(3))], 0).image


def _blank(rng: np.random.Generator) -> NDArray[np.float32]:
    """A probe without contact: reverberation bands and nothing else."""
    z = np.arange(HEIGHT)[:, None] * PIXEL_MM
    bands = np.exp(-z / 2.5) * (0.6 + 0.4 * np.cos(z * 2 * np.pi / rng.uniform(0.6, 1.2)))
    return np.asarray(np.clip(bands + 0.03 * rng.standard_normal((HEIGHT, WIDTH)), 0, 1), np.float32)


_UNKNOWN: dict[UnknownKind, Callable[[np.random.Generator], NDArray[np.float32]]] = {
    "gout": _gout,
    "osteoarthritis": _osteoarthritis,
    "knee": _knee,
    "hip": _hip,
    "elbow": _elbow,
    "tendon": _tendon,
    "muscle": _muscle,
    "vessel": _vessel,
    "noise": _noise,
    "inverted": _inverted,
    "blank": _blank,
}
