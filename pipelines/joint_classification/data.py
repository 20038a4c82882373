"""Cases to learn from and be judged by: simulated, or a folder of real ones with a table of labels.

A folder holds ``labels.csv`` with the columns ``file, patient, label, age, sex`` (label: healthy, ra, psa, or unknown
for what is to be refused) and the files it names: DICOM, NIfTI, MetaImage, NRRD, Scanco AIM or ISQ, PNG or TIFF.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification.simulate import CLASSES, Case

SIZE_2D = (128, 160)  # (H, W) of what the network sees
SIZE_3D = (48, 64, 64)  # (D, H, W)
LABELS = (*CLASSES, "unknown")

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Cohort:
    """Cases as arrays, one row each."""

    images: Array  # (N, 1, *size), normalised as the network sees them
    labels: NDArray[np.int64]  # (N,) index into CLASSES; -1 unknown
    patients: NDArray[np.int64]  # (N,)
    ages: NDArray[np.float64]  # (N,) years, NaN where not known
    female: NDArray[np.float64]  # (N,) 1, 0, NaN where not known
    severity: NDArray[np.float64]  # (N,) NaN where not known
    lesions: NDArray[np.bool_]  # (N, *size); all False where not known
    kinds: tuple[str, ...] = ()  # of the unknowns

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Cohort:
        """The cases at `index`, in that order."""
        kinds = tuple(np.array(self.kinds)[index]) if self.kinds else ()
        return Cohort(
            self.images[index],
            self.labels[index],
            self.patients[index],
            self.ages[index],
            self.female[index],
            self.severity[index],
            self.lesions[index],
            kinds,
        )


def cohort(cases: Sequence[Case]) -> Cohort:
    """Simulated cases as the network sees them."""
    size = SIZE_2D if cases[0].image.ndim == 2 else SIZE_3D
    return Cohort(
        np.stack([normalise(case.image, size) for case in cases])[:, None],
        np.array([CLASSES.index(case.condition) if case.condition else -1 for case in cases]),
        np.array([case.patient for case in cases]),
        np.array([case.age_years for case in cases]),
        np.array([float(case.female) for case in cases]),
        np.array([case.severity for case in cases]),
        np.stack([resize(case.lesion.astype(np.float32), size) > 0.3 for case in cases]),
        tuple(case.kind for case in cases),
    )


def normalise(image: NDArray[np.generic], size: Sequence[int]) -> Array:
    """Bring an image to `size` and to mean 0, standard deviation 1 of itself.

    Only the input's own statistics are used: gain and dynamic range of the scanner drop out.
    """
    sized = resize(np.asarray(image, np.float32), size)
    deviation = float(sized.std())
    return np.asarray((sized - sized.mean()) / max(deviation, 1e-4), np.float32)


def resize(image: Array, size: Sequence[int]) -> Array:
    """Linear resampling with the corners of the field of view kept; smoothed first where it shrinks."""
    if image.shape == tuple(size):
        return image
    factors = [after / before for before, after in zip(image.shape, size, strict=True)]
    smooth = ndimage.gaussian_filter(image, [max(0.0, 0.4 * (1 / factor - 1)) for factor in factors])
    sized = ndimage.zoom(smooth, factors, order=1, mode="nearest", grid_mode=True)
    return np.asarray(sized, np.float32)


def folds(patients: NDArray[np.int64], number: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """`number` pairs of training and test indices; a patient is on one side only."""
    unique = np.unique(patients)
    np.random.default_rng(seed).shuffle(unique)
    parts = np.array_split(unique, number)
    return [(np.flatnonzero(~np.isin(patients, part)), np.flatnonzero(np.isin(patients, part))) for part in parts]


def read_labels(folder: Path) -> list[dict[str, str]]:
    """The rows of ``labels.csv``.

    Raises
    ------
    UnsuitableInput
        Naming the file, the line and what would be right.
    """
    table = folder / "labels.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UnsuitableInput(f"{table}: cannot be read: {error.strerror}") from error
    for line, row in enumerate(rows, start=2):
        for column in ("file", "patient", "label"):
            if not (row.get(column) or "").strip():
                raise UnsuitableInput(f"{table}, line {line}: column {column!r} is missing or empty")
        if row["label"] not in LABELS:
            raise UnsuitableInput(f"{table}, line {line}: label {row['label']!r} is not one of {', '.join(LABELS)}")
        if not (folder / row["file"]).exists():
            raise UnsuitableInput(f"{table}, line {line}: there is no file {row['file']}")
    return rows
