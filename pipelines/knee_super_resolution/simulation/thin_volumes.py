"""Simulated thin-slice volumes: knees with Bloch-equation contrasts, and clutter of random shapes.

Nothing here is a patient. The knees have bones with trabecular texture, cartilage, menisci, ligaments, fat, muscle,
fluid, vessels and lesions thinner than a thick slice; sizes, pose, tissue constants, sequence and coil vary. Clutter
(leaves falling on one another, Lee 2001, in three dimensions) has edges of every direction and scale, which keeps a
network from learning one anatomy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_super_resolution.simulation.shapes import (
    coil,
    cover,
    ellipsoid,
    noise,
    ridges,
    rotation,
    tube,
    union,
)

Field = NDArray[np.float32]
Values = NDArray[np.floating[Any]]
Contrast = Literal["dess", "pd", "pd_fs", "t2", "t1"]
CONTRASTS: tuple[Contrast, ...] = ("dess", "pd", "pd_fs", "t2", "t1")

# proton density (water = 1), T1 ms, T2 ms at 3 T; order as painted by `_tissues`. Values are typical of the literature
# (cartilage, muscle, fluid and fat: Gold 2004 at 3 T) and vary by 15 % from knee to knee.
TISSUES: dict[str, tuple[float, float, float]] = {
    "air": (0.0, 1000.0, 10.0),
    "fat": (0.95, 370.0, 130.0),
    "muscle": (0.85, 1420.0, 34.0),
    "fluid": (1.0, 3600.0, 700.0),
    "ligament": (0.45, 1000.0, 9.0),
    "meniscus": (0.6, 960.0, 12.0),
    "cartilage": (0.8, 1240.0, 38.0),
    "cortex": (0.12, 800.0, 3.0),
    "marrow": (0.9, 400.0, 110.0),
    "vessel": (0.8, 1900.0, 150.0),
    "lesion": (0.95, 2200.0, 180.0),
}


@dataclass(frozen=True)
class SimulatedKnee:
    """A magnitude volume and what is in it."""

    array: Field  # (D, H, W): sagittal slices (left to right), top to bottom, front to back; 0 to about 1
    step_mm: float  # isotropic
    labels: NDArray[np.uint8]  # (D, H, W): index into `TISSUES` of the dominant tissue
    lesions: NDArray[np.bool_]  # (D, H, W)
    contrast: Contrast


def simulate_knee(
    seed: int, shape: tuple[int, int, int] = (128, 128, 128), step_mm: float = 0.7, contrast: Contrast | None = None
) -> SimulatedKnee:
    """One knee, the same for the same seed.

    Parameters
    ----------
    shape
        (D, H, W): left to right, top to bottom, front to back.
    step_mm
        Isotropic distance of samples.
    contrast
        Drawn at random where None.
    """
    random = np.random.default_rng(seed)
    chosen: Contrast = contrast or CONTRASTS[int(random.integers(len(CONTRASTS)))]
    weights, lesions = _tissues(shape, step_mm, random)
    table = _varied_tissues(random)
    signal = signal_of(table, chosen, random)
    texture = 1 + random.uniform(0.03, 0.10) * noise(shape, 1.2 / step_mm, random)
    texture *= 1 + random.uniform(0.03, 0.10) * noise(shape, 4.0 / step_mm, random)
    image = np.zeros(shape, dtype=np.float32)
    for level, weight in zip(signal, weights, strict=True):
        image += np.float32(level) * weight
    image *= texture
    image /= max(float(np.percentile(image, 99.5)), 1e-6)
    image *= coil(shape, random)
    image = acquire(image, random.uniform(0.004, 0.025), random)
    return SimulatedKnee(image, step_mm, np.argmax(weights, axis=0).astype(np.uint8), lesions, chosen)


def signal_of(table: Values, contrast: Contrast, random: np.random.Generator) -> Values:
    """Steady-state or spin-echo signal of each tissue.

    Parameters
    ----------
    table
        (T, 3): proton density, T1 ms, T2 ms.

    Returns
    -------
    NDArray
        (T,), arbitrary unit.
    """
    density, t1, t2 = table.T
    if contrast == "dess":
        return dess(density, t1, t2, random.uniform(16, 24), random.uniform(4, 8), random.uniform(18, 32))
    if contrast == "t1":
        return spoiled_gradient_echo(density, t1, t2 * 0.6, random.uniform(10, 25), random.uniform(3, 8), 25)
    repetition, echo = {"pd": (2600.0, 18.0), "pd_fs": (3000.0, 30.0), "t2": (3500.0, 65.0)}[contrast]
    signal = spin_echo(density, t1, t2, repetition * random.uniform(0.8, 1.2), echo * random.uniform(0.7, 1.3))
    if contrast == "pd_fs" or (contrast == "t2" and random.random() < 0.5):
        signal[[_index("fat"), _index("marrow")]] *= random.uniform(0.08, 0.2)  # fat saturation
    return signal


def spin_echo(
    density: Values,
    t1: Values,
    t2: Values,
    repetition_ms: float,
    echo_ms: float,
) -> Values:
    """Spin echo after 90 degrees: M0 (1 - exp(-TR/T1)) exp(-TE/T2).

    Parameters
    ----------
    density, t1, t2
        Of each tissue, relative to water and in ms.
    repetition_ms, echo_ms
        Of the sequence.
    """
    signal: Values = density * (1 - np.exp(-repetition_ms / t1)) * np.exp(-echo_ms / t2)
    return signal


def spoiled_gradient_echo(
    density: Values,
    t1: Values,
    t2_star: Values,
    repetition_ms: float,
    echo_ms: float,
    flip_degrees: float,
) -> Values:
    """Spoiled gradient echo (Ernst): M0 sin a (1 - E1) / (1 - E1 cos a) exp(-TE/T2*).

    Parameters
    ----------
    density, t1, t2_star
        Of each tissue, relative to water and in ms.
    repetition_ms, echo_ms, flip_degrees
        Of the sequence; the flip angle in degrees.
    """
    flip = np.deg2rad(flip_degrees)
    e1 = np.exp(-repetition_ms / t1)
    signal: Values = density * np.sin(flip) * (1 - e1) / (1 - e1 * np.cos(flip)) * np.exp(-echo_ms / t2_star)
    return signal


def dess(
    density: Values,
    t1: Values,
    t2: Values,
    repetition_ms: float,
    echo_ms: float,
    flip_degrees: float,
) -> Values:
    """Root sum of squares of the two echoes of double echo steady state (Haenicke and Vogel 2003, for S+ and S-).

    Parameters
    ----------
    density, t1, t2
        Of each tissue, relative to water and in ms.
    repetition_ms, echo_ms, flip_degrees
        Of the sequence; the flip angle in degrees.
    """
    first, second = dess_echoes(t1, t2, repetition_ms, echo_ms, flip_degrees)
    combined: Values = density * np.hypot(first, second)
    return combined


def dess_echoes(
    t1: Values,
    t2: Values,
    repetition_ms: float,
    echo_ms: float,
    flip_degrees: float,
) -> tuple[Values, Values]:
    """The two echoes for unit density: S+ at TE after a pulse and S- at TE before the next one.

    Parameters
    ----------
    t1, t2
        Of each tissue, ms.
    repetition_ms, echo_ms, flip_degrees
        Of the sequence; the flip angle in degrees.
    """
    cosine = np.cos(np.deg2rad(flip_degrees))
    e1, e2 = np.exp(-repetition_ms / t1), np.exp(-repetition_ms / t2)
    root = np.sqrt((1 - e2**2) / ((1 - e1 * cosine) ** 2 - e2**2 * (e1 - cosine) ** 2))
    half = np.tan(np.deg2rad(flip_degrees) / 2)
    plus = half * (1 - (e1 - cosine) * root)
    minus = half * (1 - (1 - e1 * cosine) * root)
    return plus * np.exp(-echo_ms / t2), minus * np.exp(echo_ms / t2)


def simulate_clutter(seed: int, shape: tuple[int, int, int] = (96, 96, 96), leaves: int = 1200) -> Field:
    """Random leaves, (D, H, W) in 0..1: ellipsoids, plates and rods over one another, each with its own texture.

    Parameters
    ----------
    seed
        The same seed gives the same volume.
    shape
        (D, H, W).
    leaves
        How many shapes are laid over one another.
    """
    random = np.random.default_rng(seed)
    image = np.full(shape, random.uniform(0, 0.6), dtype=np.float32)
    fine, coarse = noise(shape, 1.0, random), noise(shape, random.uniform(2.0, 5.0), random)
    for size in np.sort(_power_law(random, leaves, 1.0, 22.0))[::-1]:
        _lay(image, float(size), (fine, coarse), random)
    image *= coil(shape, random)
    return acquire(image, random.uniform(0.002, 0.02), random)


def acquire(image: Field, noise: float, random: np.random.Generator) -> Field:
    """The magnitude image of a noisy k-space with its corners left out.

    Parameters
    ----------
    noise
        Standard deviation in each channel of the image, in the unit of `image`.
    """
    cut = random.uniform(0.92, 1.05)  # of the Nyquist frequency: below one it rings a little, as scanners do
    spectrum = np.fft.fftn(image)
    radius = np.zeros(image.shape, dtype=np.float32)
    for axis, size in enumerate(image.shape):
        line = (np.abs(np.fft.fftfreq(size)) / 0.5) ** 2
        radius += line.reshape([-1 if each == axis else 1 for each in range(3)]).astype(np.float32)
    spectrum *= 0.5 * (1 - np.tanh((np.sqrt(radius) - 1.35 * cut) / 0.05))
    complex_image = np.fft.ifftn(spectrum)
    real = complex_image.real + random.normal(0, noise, image.shape)
    imaginary = random.normal(0, noise, image.shape)
    magnitude: Field = np.hypot(real, imaginary).astype(np.float32)
    return magnitude


# ---- shapes
def _index(tissue: str) -> int:
    return list(TISSUES).index(tissue)


def _varied_tissues(random: np.random.Generator) -> Values:
    table = np.array(list(TISSUES.values()))
    varied: Values = table * random.uniform(0.85, 1.15, table.shape)
    return varied


def _tissues(
    shape: tuple[int, int, int], step_mm: float, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """How much of each tissue lies in each voxel, (T, D, H, W) summing to one, and where the lesions are."""
    x, y, z = _coordinates(shape, step_mm, random)
    rough = random.uniform(0.1, 0.35) * noise(shape, 1.5 / step_mm, random)
    bone, femur, tibia, patella = _bones(x, y, z, random)
    weights = np.zeros((len(TISSUES), *shape), dtype=np.float32)
    weights[0] = 1.0

    def paint(tissue: str, distance: Field, softness_mm: float = 0.3 * step_mm) -> None:
        part = cover(distance + rough, softness_mm)
        weights[:] *= 1 - part
        weights[_index(tissue)] += part

    body = np.hypot(x / random.uniform(50, 58), (y - 2) / random.uniform(54, 62)) * 55 - 55
    paint("fat", body)
    septa = ridges(shape, 7.0 / step_mm, random)
    paint("muscle", np.maximum(body + random.uniform(5, 12), -(np.abs(septa) - 0.06) * 8))
    paint("fat", ellipsoid(x, y, z, (0, 34, -6), (22, 12, 18)))  # fat pad behind the patellar tendon
    paint("fluid", np.maximum(bone - random.uniform(3.0, 5.5), np.hypot(y + 2, z + 4) - 30))
    for side in (-1, 1):
        paint("meniscus", _meniscus(x, y, z, side, random))
    for distance in _ligaments(x, y, z, random):
        paint("ligament", distance)
    thickness = random.uniform(1.6, 3.2) + 0.6 * noise(shape, 10 / step_mm, random)
    facing = np.maximum(np.hypot(y + 3, z) - 34, z - 22)  # cartilage covers what faces the joint
    for one, reach in ((femur, facing), (tibia, z + 3), (patella, 22 - y + 6 * np.abs(x) / 20)):
        paint("cartilage", np.maximum(one - thickness, reach))
    paint("cortex", bone)
    inner = bone + random.uniform(0.7, 1.6)
    paint("marrow", inner)
    trabeculae = ridges(shape, random.uniform(0.8, 1.4) / step_mm, random)
    grain = random.uniform(0.1, 0.55) * np.clip(0.35 - np.abs(trabeculae), 0, 0.35) / 0.35 * cover(inner, step_mm)
    weights *= 1 - grain
    weights[_index("cortex")] += grain
    for _ in range(int(random.integers(3, 8))):
        first, second = random.uniform(-45, 45, (2, 3))
        paint("vessel", tube(x, y, z, first, second, random.uniform(0.6, 2.2)))
    lesions = _paint_lesions(x, y, z, bone, weights, random)
    return weights, lesions


def _coordinates(
    shape: tuple[int, int, int], step_mm: float, random: np.random.Generator
) -> tuple[Field, Field, Field]:
    """Patient-like coordinates in mm about the joint: x to the left, y to the front, z up; turned, bent and shifted."""
    axes = [(np.arange(size) - (size - 1) / 2) * step_mm for size in shape]
    grid = np.meshgrid(axes[0], -axes[1], -axes[2], indexing="ij")  # (D, H, W) = (x, -z, -y)
    points = np.stack([grid[0], grid[2], grid[1]]).astype(np.float32)  # x, y, z
    turn = rotation(random.normal(0, 0.12, 3)).astype(np.float32)
    points = np.einsum("ij,j...->i...", turn, points) * np.float32(random.uniform(0.85, 1.15))
    points += random.uniform(-6, 6, 3).astype(np.float32)[:, None, None, None]
    for axis in range(3):
        points[axis] += random.uniform(0.5, 2.5) * noise(shape, 14.0 / step_mm, random)
    return points[0], points[1], points[2]


def _bones(x: Field, y: Field, z: Field, random: np.random.Generator) -> tuple[Field, Field, Field, Field]:
    """Signed distances, mm, negative inside: all bones, femur, tibia, patella."""
    wide = random.uniform(0.92, 1.08)
    condyles = [
        ellipsoid(x, y, z, (side * 21 * wide, -6, 16), (14 * wide, random.uniform(25, 29), random.uniform(17, 20)))
        for side in (-1, 1)
    ]
    shaft = tube(x, y, z, np.array([0, 2, 28.0]), np.array([0, 6, 100.0]), random.uniform(13, 17))
    femur = union(union(condyles[0], condyles[1], 4), shaft, 8)
    plateau = np.maximum(ellipsoid(x, y, z, (0, -3, -17), (38 * wide, 24, 17)), z + 8 + 0.03 * y)
    tibia = union(plateau, tube(x, y, z, np.array([0, 0, -25.0]), np.array([0, 2, -100.0]), random.uniform(12, 16)), 8)
    patella = ellipsoid(x, y, z, (0, 40, 24), (20, 8.5, 19))
    fibula = tube(x, y, z, np.array([36.0, -16, -30]), np.array([36.0, -14, -100]), random.uniform(5, 8))
    bone = np.minimum(np.minimum(femur, tibia), np.minimum(patella, fibula))
    return bone, femur, tibia, patella


def _meniscus(x: Field, y: Field, z: Field, side: int, random: np.random.Generator) -> Field:
    """A wedge-shaped C between condyle and plateau, perhaps with a tear."""
    across, along = x - side * 21, y + 3
    angle = np.arctan2(along, across * side)
    radius = np.hypot(across, along * 0.8)
    outer = random.uniform(15, 18)
    inside = np.maximum(radius - outer, outer - random.uniform(8, 11) - radius)
    height = 0.38 * np.maximum(radius - (outer - 10), 0)
    wedge = np.maximum(inside, np.abs(z + 4) - height)
    wedge = np.maximum(wedge, np.abs(angle) * 8 - 8 * random.uniform(2.5, 2.9))  # the opening of the C
    if random.random() < 0.6:  # a tear under a millimetre wide
        tear = np.abs(z + 4 - random.uniform(-1, 1) - random.uniform(-0.3, 0.3) * across) - random.uniform(0.2, 0.5)
        wedge = np.maximum(wedge, -np.maximum(tear, np.abs(angle - random.uniform(-2, 2)) * 10 - 6))
    shape: Field = wedge
    return shape


def _ligaments(x: Field, y: Field, z: Field, random: np.random.Generator) -> list[Field]:
    ends = (
        ((-6, -16, 14), (4, 12, -8), 3.5),  # anterior cruciate
        ((6, 6, 14), (-2, -24, -12), 4.5),  # posterior cruciate
        ((-38, 0, 22), (-37, 2, -40), 2.0),  # medial collateral
        ((38, -6, 20), (37, -14, -30), 2.0),  # lateral collateral
        ((0, 44, 8), (0, 36, -34), 3.0),  # patellar tendon
        ((0, 44, 40), (0, 36, 90), 3.5),  # quadriceps tendon
    )
    return [
        tube(
            x,
            y,
            z,
            np.array(first) + random.normal(0, 1.5, 3),
            np.array(second) + random.normal(0, 1.5, 3),
            radius * random.uniform(0.8, 1.2),
        )
        for first, second, radius in ends
    ]


def _paint_lesions(
    x: Field, y: Field, z: Field, bone: Field, weights: NDArray[np.float32], random: np.random.Generator
) -> NDArray[np.bool_]:
    """Small bright foci at the bone's surface and in the marrow, 0.8 to 4 mm across."""
    lesions = np.zeros(x.shape, dtype=bool)
    near = np.argwhere((np.abs(bone) < 3) & (np.abs(z) < 30))
    for _ in range(int(random.integers(3, 10))):
        if not len(near):
            break
        d, h, w = near[random.integers(len(near))]
        centre = (float(x[d, h, w]), float(y[d, h, w]), float(z[d, h, w]))
        distance = ellipsoid(x, y, z, centre, tuple(random.uniform(0.4, 2.0, 3)))
        part = cover(distance, 0.3)
        weights *= 1 - part
        weights[_index("lesion" if random.random() < 0.7 else "cortex")] += part
        lesions |= part > 0.5
    return lesions


def _lay(image: Field, size: float, textures: tuple[Field, Field], random: np.random.Generator) -> None:
    """Cover part of `image` with one leaf of about `size` voxels, in place."""
    shape = np.array(image.shape)
    centre = random.uniform(0, shape)
    extent = size * np.exp(random.normal(0, 0.6, 3))
    reach = np.minimum(np.ceil(extent.max() * 1.2 + 2), 40)
    low, high = np.maximum(centre - reach, 0).astype(int), np.minimum(centre + reach + 1, shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    grid = np.meshgrid(*(np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True)), indexing="ij")
    turn = rotation(random.uniform(0, np.pi, 3))
    local = np.einsum("ij,j...->i...", turn, np.stack(grid)) / extent[:, None, None, None]
    power = 2.0 if random.random() < 0.7 else 8.0  # ellipsoid or block
    norm = (np.abs(local) ** power).sum(axis=0) ** (1 / power)
    part = cover(((norm - 1) * extent.min()).astype(np.float32), random.choice([0.25, 0.5, 1.5]))
    fine, coarse = textures
    level = random.uniform(0, 1) + random.normal(0, 0.06) * fine[box] + random.normal(0, 0.1) * coarse[box]
    image[box] = image[box] * (1 - part) + np.clip(level, 0, 1.2) * part


def _power_law(random: np.random.Generator, count: int, low: float, high: float) -> Values:
    """Sizes with density proportional to size^-2: as much of the picture at every scale as nature has."""
    sizes: Values = 1 / random.uniform(1 / high, 1 / low, count)
    return sizes
