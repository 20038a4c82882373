"""Volumes to learn from and to be judged by, and the MONAI transforms that turn one into a thick-slice example.

Folders may hold NIfTI, MetaImage or NRRD files and DICOM in any depth; `layouts` says whose each volume is, so that a
subject never falls on both sides of a split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.series import read_studies
from pipelines.knee_super_resolution import metrics
from pipelines.knee_super_resolution.simulation import atlas_knees, thin_volumes
from pipelines.knee_super_resolution.simulation.atlas_knees import Anatomy
from pipelines.knee_super_resolution.training.layouts import FOLDER, Layout

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")
THIN_TOLERANCE = 1.5  # an axis counts as thin when its spacing is within this of the smallest
THIN_MM = 1.0  # or no more than this: the slices of a 3-D series, though its pixels are finer
MIN_SAMPLES = 24  # along an axis, to be degraded by 2 at least
KNEE_SIDE = 128  # samples of a simulated knee along each axis


@dataclass(frozen=True)
class ThinVolume:
    """A volume with at least one thinly sampled axis."""

    name: str
    subject: str
    array: NDArray[np.float32]  # (D, H, W), divided by its 99.9th percentile
    spacing_mm: tuple[float, float, float]

    @property
    def thin_axes(self) -> tuple[int, ...]:
        """The axes along which the volume may be degraded."""
        thin_mm = max(THIN_TOLERANCE * min(self.spacing_mm), THIN_MM)
        return tuple(
            axis for axis in range(3) if self.spacing_mm[axis] <= thin_mm and self.array.shape[axis] >= MIN_SAMPLES
        )


def read_volumes(folder: Path, layout: Layout = FOLDER) -> Iterator[ThinVolume]:
    """Every volume below a folder, in the order of its path; what is not a volume is passed over.

    Parameters
    ----------
    folder
        To read.
    layout
        How it is arranged.

    Raises
    ------
    UnsuitableInput
        If a file that should be one cannot be read, or is none of the layout; the message names it.
    """
    dicom: dict[Path, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not layout.holds(path.relative_to(folder)):
            continue
        if path.name.endswith(IMAGE_SUFFIXES):
            if "label" not in path.stem.lower() and not any(path.parent.glob("*.ctbl")):
                yield from _read_image(path, layout.subject(path.relative_to(folder)))
        elif _is_dicom(path):
            dicom.setdefault(path.parent, []).append(path)
    for parent, paths in sorted(dicom.items()):
        yield from _read_dicom(parent, paths, folder, layout)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _read_image(path: Path, subject: str) -> Iterator[ThinVolume]:
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(str(path), SimpleITK.sitkFloat32)
    except RuntimeError as error:
        raise UnsuitableInput(f"{path}: is no volume that can be read") from error
    if image.GetDimension() != 3:
        return
    array = SimpleITK.GetArrayFromImage(image)  # (D, H, W), spacing reversed to match
    d, h, w = (float(value) for value in reversed(image.GetSpacing()))
    yield ThinVolume(path.name.split(".")[0], subject, _scaled(array), (d, h, w))


def _read_dicom(parent: Path, paths: list[Path], folder: Path, layout: Layout) -> Iterator[ThinVolume]:
    for study in read_studies(paths):
        for series in study.series:
            if series.modality != "MR":
                continue
            try:
                found = stacks(series)
            except UnsuitableInput:
                continue
            for stack in found:
                if layout.series not in str(stack.header.get("SeriesDescription") or ""):
                    continue
                array = np.asarray(read_stack(stack).array, dtype=np.float32)
                name = f"{parent.name} {stack.label}".strip()
                height, width = stack.pixel_mm
                subject = layout.subject(paths[0].relative_to(folder))
                yield ThinVolume(name, subject, _scaled(array), (stack.spacing_mm, height, width))


def _scaled(array: NDArray[np.floating]) -> NDArray[np.float32]:
    clipped = np.maximum(np.nan_to_num(array), 0).astype(np.float32)
    scaled: NDArray[np.float32] = clipped / np.float32(metrics.scale_of(clipped))
    return scaled


def simulated_volumes(seed: int, knees: int, clutter: int, knee_side: int = KNEE_SIDE) -> Iterator[ThinVolume]:
    """Simulated knees, then clutter; the same for the same seed.

    Parameters
    ----------
    seed
        Of all of them.
    knees, clutter
        How many of each.
    knee_side
        Samples of a knee along each axis.
    """
    random = np.random.default_rng(seed)
    for number in range(knees):
        step_mm = float(random.uniform(0.5, 0.9))
        knee = thin_volumes.simulate_knee(int(random.integers(2**31)), (knee_side,) * 3, step_mm)
        yield ThinVolume(f"simulated knee {number}", f"knee {number}", _scaled(knee.array), (step_mm,) * 3)
    for number in range(clutter):
        array = thin_volumes.simulate_clutter(int(random.integers(2**31)))
        yield ThinVolume(f"clutter {number}", f"clutter {number}", _scaled(array), (1.0, 1.0, 1.0))


def atlas_volumes(seed: int, count: int, anatomies: Sequence[Anatomy]) -> Iterator[ThinVolume]:
    """Simulated knees with the shapes of real ones, the same for the same seed; none without shapes.

    Parameters
    ----------
    seed
        Of all of them.
    count
        How many.
    anatomies
        Taken in turn.
    """
    random = np.random.default_rng([seed, 1])
    for number in range(count if anatomies else 0):
        knee = atlas_knees.simulate_atlas_knee(anatomies[number % len(anatomies)], int(random.integers(2**31)))
        yield ThinVolume(
            f"simulated knee {number} of an atlas", f"atlas {number}", _scaled(knee.array), knee.spacing_mm
        )


def held_back(volume: ThinVolume, share: float = 0.15) -> bool:
    """Whether a subject belongs to the validation side; decided by its name, so that it stays there."""
    digest = hashlib.sha256(volume.subject.encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def densified(volume: ThinVolume, most_mm: float = 1.3) -> ThinVolume:
    """A 2-D acquisition with its thick axis filled in by a spline, for use of its in-plane axes as thin ones."""
    thick = int(np.argmax(volume.spacing_mm))
    spacing = volume.spacing_mm[thick]
    if spacing <= THIN_TOLERANCE * min(volume.spacing_mm):
        return volume
    from pipelines.knee_super_resolution.degradation import along_slices, spline_matrix

    step = max(most_mm, THIN_TOLERANCE * 1.01 * min(volume.spacing_mm))
    coarse = np.arange(volume.array.shape[thick]) * spacing
    fine = np.arange(0, coarse[-1], step)
    filled = along_slices(spline_matrix(coarse, fine), np.moveaxis(volume.array, thick, 0))
    spacings = list(volume.spacing_mm)
    spacings[thick] = step
    array = np.ascontiguousarray(np.moveaxis(filled, 0, thick))
    return ThinVolume(volume.name, volume.subject, array, (spacings[0], spacings[1], spacings[2]))
