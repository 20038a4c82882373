"""Knees in the shape of a real one: the structures of an atlas, deformed, filled with tissue and put into a scanner.

Only the shapes are real. Signals come from signal equations, textures (trabeculae, lobules and septa of fat, muscle
fibres, small vessels, layers of cartilage) from random fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_super_resolution.simulation import thin_volumes
from pipelines.knee_super_resolution.simulation.scanner import Acquisition, Shape, acquire
from pipelines.knee_super_resolution.simulation.shapes import coil, cover, noise, ridges, rotation

Field = NDArray[np.float32]
Values = NDArray[np.floating[Any]]
Spacing = tuple[float, float, float]

GRID_MM = 0.6  # of the distances, in the plane of the atlas
REACH_MM = 12.0  # how far from a structure its distance is known
CLOSING_MM = 11.0  # gaps between structures up to twice as wide lie inside the body
FAT_MM = 5.0  # under the skin, over what is labelled
BORDER = 4  # samples that are simulated and cut off: an FFT joins opposite sides
FINER = 1.3  # samples of the object for one of the image

# words in the name of a structure -> what it is painted as, in this order; a structure without a word is fat
STRUCTURES: dict[str, tuple[str, ...]] = {
    "muscle": ("muscle",),
    "nerve": ("nerve",),
    "vessel": ("artery", "vein"),
    "ligament": ("ligament", "tendon", "tract"),
    "meniscus": ("meniscus",),
    "cartilage": ("cartilage",),
    "bone": ("femur", "tibia", "fibula", "patella"),
}


@dataclass(frozen=True)
class Anatomy:
    """Signed distances from the structures of one knee, mm, negative inside; x left, y front to back, z upwards."""

    name: str
    distances: dict[str, Field]  # (Z, Y, X) for each kind of `STRUCTURES`, and the body
    spacing_mm: Spacing


def structure_of(name: str) -> str | None:
    """The kind that a structure with this name is painted as: the last one that fits, since muscles are named after
    bones, as in tibialis."""
    words = name.lower().replace(".", "_").split("_")
    for kind, listed in STRUCTURES.items():
        if any(word in listed for word in words):
            return kind
    return None


def read_anatomies(folder: Path, excluded: Sequence[str] = ()) -> list[Anatomy]:
    """The label maps below a folder that have a table of names (.ctbl, as 3D Slicer writes it) beside them.

    Parameters
    ----------
    folder
        Searched to any depth.
    excluded
        Words that must not occur in the name of the folder that a label map lies in.
    """
    tables = [each for each in sorted(folder.rglob("*.ctbl")) if not any(word in each.parent.name for word in excluded)]
    return [read_anatomy(table) for table in tables if _label_map(table) is not None]


def _label_map(table: Path) -> Path | None:
    found = sorted(each for each in table.parent.iterdir() if each.name.endswith((".nrrd", ".nii", ".nii.gz", ".mha")))
    return found[0] if found else None


def read_anatomy(table: Path) -> Anatomy:
    """Distances from each kind of structure of a label map, whose names stand in `table`.

    Raises
    ------
    FileNotFoundError
        If there is no label map beside the table.
    """
    import SimpleITK

    path = _label_map(table)
    if path is None:
        raise FileNotFoundError(f"{table}: no label map lies beside it")
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "LPS")
    labels = SimpleITK.GetArrayFromImage(image)  # (Z, Y, X): upwards, to the back, to the left
    z, y, x = (float(each) for each in reversed(image.GetSpacing()))
    every = max(1, round(GRID_MM / max(y, x)))
    kinds: dict[str, list[int]] = {}
    for line in table.read_text().splitlines():
        parts = line.split()
        kind = structure_of(parts[1]) if len(parts) > 1 and parts[0].isdigit() else None
        if kind is not None:
            kinds.setdefault(kind, []).append(int(parts[0]))
    coarse, spacing_mm = _every(labels, every), (z, y * every, x * every)
    distances = {kind: _distance(np.isin(coarse, numbers), spacing_mm) for kind, numbers in kinds.items()}
    distances["body"] = _body(coarse > 0, spacing_mm)
    return Anatomy(path.parent.name, distances, spacing_mm)


def _distance(mask: NDArray[np.bool_], spacing_mm: Spacing) -> Field:
    """Signed distance, mm, of a mask (Z, Y, X), smoothed over the steps between slices."""
    from scipy.ndimage import gaussian_filter

    share = gaussian_filter(mask.astype(np.float32), [0.7 * spacing_mm[0] / each for each in spacing_mm])
    inside = share > 0.5
    out = _signed(inside, spacing_mm)
    near = np.abs(out) < spacing_mm[0]
    out[near] = 0.5 * out[near] + (0.5 - share[near]) * spacing_mm[0]  # between samples
    distance: Field = np.clip(gaussian_filter(out, 0.5), -30, REACH_MM).astype(np.float32)
    return distance


def _signed(inside: NDArray[np.bool_], spacing_mm: Spacing) -> Field:
    from scipy.ndimage import distance_transform_edt

    beyond = distance_transform_edt(~inside, sampling=spacing_mm) - distance_transform_edt(inside, sampling=spacing_mm)
    distance: Field = beyond.astype(np.float32)
    return distance


def _body(mask: NDArray[np.bool_], spacing_mm: Spacing) -> Field:
    """Distance from the skin, mm: the structures, the gaps between them, and fat over them."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    grown = distance_transform_edt(~mask, sampling=spacing_mm) < CLOSING_MM + FAT_MM
    closed = distance_transform_edt(grown, sampling=spacing_mm) > CLOSING_MM
    smooth: Field = gaussian_filter(_signed(closed, spacing_mm), [3 / each for each in spacing_mm])
    return smooth


def _every(labels: NDArray[Any], every: int) -> NDArray[Any]:
    """Every so-many-th sample of the plane."""
    return labels[:, every // 2 :: every, every // 2 :: every]


@dataclass(frozen=True)
class AtlasKnee:
    """A magnitude volume of a knee with the shape of an atlas."""

    array: Field  # (D, H, W), 0 to about 1
    spacing_mm: Spacing


def simulate_atlas_knee(
    anatomy: Anatomy,
    seed: int,
    shape: Shape = (96, 80, 80),
    spacing_mm: Spacing | None = None,
    contrast: thin_volumes.Contrast | None = None,
) -> AtlasKnee:
    """A part of a deformed knee, the same for the same seed.

    Parameters
    ----------
    anatomy
        Whose shape it has.
    shape
        (D, H, W): most often left to right, top to bottom, front to back.
    spacing_mm
        Of the samples; drawn at random where None, mostly with slices thicker than pixels, as in clinical 3-D series.
    contrast
        Drawn at random where None.
    """
    random = np.random.default_rng(seed)
    if spacing_mm is None:
        pixel = float(random.uniform(0.33, 0.75))
        other = pixel * float(random.choice([1.0, random.uniform(1.0, 1.35)]))
        step = float(np.clip(pixel * random.choice([1.0, random.uniform(1.0, 2.2)]), 0.5, 1.0))
        spacing_mm = (step, pixel, other)
    chosen = contrast or thin_volumes.CONTRASTS[int(random.integers(len(thin_volumes.CONTRASTS)))]
    measured: Shape = tuple(size + 2 * BORDER for size in shape)  # type: ignore[assignment]
    fine: Shape = tuple(round(FINER * size) for size in measured)  # type: ignore[assignment]
    step_mm = np.array(spacing_mm) * np.array(measured) / np.array(fine)
    points = _points(anatomy, fine, step_mm, random)
    weights, modulation = _tissues(anatomy, points, step_mm, random)
    water, fat = _signals(weights, modulation, chosen, random)
    sensitivity = coil(fine, random)
    how = Acquisition.draw(random, chosen in ("dess", "t1"))
    image = acquire(water * sensitivity, fat * sensitivity, measured, how, random)
    cut = tuple(slice(BORDER, -BORDER) for _ in range(3))
    return AtlasKnee(np.ascontiguousarray(image[cut]), spacing_mm)


def _points(anatomy: Anatomy, shape: Shape, step_mm: Values, random: np.random.Generator) -> Field:
    """(3, D, H, W): where in the grid of the atlas each sample lies; turned, scaled, bent and shifted."""
    axes = [(np.arange(size) - (size - 1) / 2) * step for size, step in zip(shape, step_mm, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    order = [(2, 0, 1), (2, 0, 1), (2, 0, 1), (0, 1, 2), (1, 0, 2)][int(random.integers(5))]  # sagittal, axial, coronal
    turned = np.empty_like(grid)
    for axis, target in enumerate(order):
        turned[target] = grid[axis] * (-1.0, 1.0, float(random.choice([-1.0, 1.0])))[target]
    turn = (rotation(random.normal(0, 0.15, 3)) * random.uniform(0.85, 1.2)).astype(np.float32)
    turned = np.einsum("ij,j...->i...", turn, turned)
    for axis in range(3):
        turned[axis] += random.uniform(0.3, 2.0) * noise(shape, 12.0 / float(step_mm.mean()), random)
    sides = np.array([size * each for size, each in zip(_grid(anatomy), anatomy.spacing_mm, strict=True)])
    middle = sides / 2 + random.uniform(-0.22, 0.22, 3) * sides
    turned += middle.astype(np.float32)[:, None, None, None]
    points: Field = turned / np.array(anatomy.spacing_mm, dtype=np.float32)[:, None, None, None]
    return points


def _grid(anatomy: Anatomy) -> tuple[int, ...]:
    return tuple(anatomy.distances["body"].shape)


def _tissues(
    anatomy: Anatomy, points: Field, step_mm: Values, random: np.random.Generator
) -> tuple[dict[str, Field], dict[str, Field]]:
    """How much of each tissue of `thin_volumes.TISSUES` lies in each sample, and by what its signal is multiplied."""
    from scipy.ndimage import map_coordinates

    shape: Shape = points.shape[1:]
    mean_mm = float(step_mm.mean())
    rough = random.uniform(0.05, 0.25) * noise(shape, 1.5 / mean_mm, random)

    def away(kind: str) -> Field:
        if kind not in anatomy.distances:
            return np.full(shape, REACH_MM, dtype=np.float32)
        found: Field = map_coordinates(anatomy.distances[kind], points, order=1, mode="nearest") + rough
        return found

    weights: dict[str, Field] = {"air": np.ones(shape, dtype=np.float32)}

    def paint(tissue: str, distance: Values | None, amount: Values | float = 1.0) -> None:
        part = amount if distance is None else cover(distance, 0.3 * mean_mm) * np.float32(amount)
        for each in weights.values():
            each *= 1 - part
        weights[tissue] = weights.get(tissue, np.zeros(shape, dtype=np.float32)) + part

    body = away("body")
    paint("muscle", body)  # the skin
    paint("fat", body + random.uniform(1.0, 2.2))
    lobules = np.abs(ridges(shape, random.uniform(1.5, 3.5) / mean_mm, random))
    paint("ligament", body + 1, random.uniform(0.2, 0.8) * cover(lobules - random.uniform(0.04, 0.12), 0.04))
    filaments = np.hypot(noise(shape, 3.5 / mean_mm, random), noise(shape, 3.5 / mean_mm, random))
    paint("vessel", np.maximum(body + 2, (filaments - random.uniform(0.1, 0.3)) * 3))
    muscle = away("muscle")
    paint("muscle", muscle)
    bundles = np.abs(_fibres(shape, random.uniform(0.8, 2.0) / mean_mm, random))
    paint("fat", None, cover(muscle, mean_mm) * random.uniform(0.05, 0.6) * cover(bundles - 0.08, 0.06))
    for kind in ("nerve", "vessel"):
        paint("muscle" if kind == "nerve" else "vessel", away(kind))
    cartilage = away("cartilage")
    bone = away("bone")
    paint("fluid", cartilage - random.uniform(0.2, 1.6) * (1 + 0.5 * noise(shape, 6.0 / mean_mm, random)))
    capsule = np.abs(bone - random.uniform(4, 8) - 1.5 * noise(shape, 8.0 / mean_mm, random)) - random.uniform(0.2, 0.5)
    paint("ligament", np.maximum(capsule, body + 4), random.uniform(0.0, 0.8))
    paint("ligament", away("ligament"))
    paint("meniscus", away("meniscus"))
    paint("cartilage", cartilage)
    paint("cortex", bone)
    inner = bone + random.uniform(0.5, 1.8) * np.clip(1 + 0.3 * noise(shape, 8.0 / mean_mm, random), 0.3, 2)
    paint("marrow", inner)
    plates = np.abs(ridges(shape, random.uniform(0.4, 1.1) / mean_mm, random))
    paint("cortex", inner, random.uniform(0.1, 0.6) * np.clip(0.35 - plates, 0, 0.35) / 0.35)
    red = np.clip(noise(shape, 6.0 / mean_mm, random) - random.uniform(0.3, 1.5), 0, 1)
    paint("muscle", inner, random.uniform(0.1, 0.6) * red)
    for tissue, share in (("lesion", 2.4), ("cortex", 2.8)):
        foci = noise(shape, random.uniform(0.5, 1.2) / mean_mm, random)
        paint(tissue, np.maximum((share - foci) * 1.5, np.abs(bone) - 4))
    depth = np.clip(bone / random.uniform(1.8, 3.0), 0, 1)
    modulation = {
        "muscle": 1 + random.uniform(0.02, 0.10) * _fibres(shape, random.uniform(0.5, 1.2) / mean_mm, random),
        "cartilage": 1 - random.uniform(0.0, 0.4) * (1 - depth),
        "fat": 1 + random.uniform(0.01, 0.08) * noise(shape, random.uniform(0.6, 1.5) / mean_mm, random),
    }
    modulation["marrow"] = modulation["fat"]
    return weights, modulation


def _fibres(shape: Shape, scale_voxels: float, random: np.random.Generator) -> Field:
    """A field that changes slowly along one axis, mostly the second, and fast across it, with unit variance."""
    from scipy.ndimage import gaussian_filter

    along = 1 if random.random() < 0.7 else 0
    scales = [scale_voxels * (8.0 if axis == along else 1.0) for axis in range(3)]
    field = gaussian_filter(random.standard_normal(shape).astype(np.float32), scales, mode="wrap")
    scaled: Field = field / max(float(field.std()), 1e-6)
    return scaled


def _signals(
    weights: dict[str, Field],
    modulation: dict[str, Field],
    contrast: thin_volumes.Contrast,
    random: np.random.Generator,
) -> tuple[Field, Field]:
    """Water and fat images, scaled so that the brightest half per cent is about one."""
    names = list(thin_volumes.TISSUES)
    table = np.array(list(thin_volumes.TISSUES.values()))
    table = table * random.uniform(0.85, 1.15, table.shape)
    level = dict(zip(names, thin_volumes.signal_of(table, contrast, random), strict=True))
    if contrast == "dess" and random.random() < 0.75:  # most are acquired with water excitation
        suppressed = random.uniform(0.1, 0.35)
        level["fat"] *= suppressed
        level["marrow"] *= suppressed
    if random.random() < 0.25:  # a contrast that no equation foresaw: preparation pulses, subtraction, other fields
        level = {name: float(random.uniform(0.05, 1.0)) for name in names} | {"air": 0.0}
    shape = weights["air"].shape
    water, fat = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for name, weight in weights.items():
        image = fat if name in ("fat", "marrow") else water
        image += np.float32(level[name]) * weight * modulation.get(name, np.float32(1.0))
    texture = 1 + random.uniform(0.01, 0.06) * noise(shape, 2.5, random)
    scale = np.float32(max(float(np.percentile(water + fat, 99.5)), 1e-6))
    return (water * texture / scale).astype(np.float32), (fat * texture / scale).astype(np.float32)
