"""Cases to learn from and be judged by: simulated, or a folder of real ones with a table of labels.

A folder holds ``labels.csv`` with the columns ``file, patient, label`` and, where known, ``age, sex, width_mm``, and
the files it names. Ultrasound: DICOM, PNG, JPEG or TIFF. HR-pQCT: DICOM, Scanco AIM or ISQ (with or without a version
number, as ``;1``), NIfTI, MetaImage or NRRD. The label is healthy, ra, psa, or unknown for what is to be refused;
``width_mm`` is that of an ultrasound picture whose file does not say how large a pixel is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicom_sr.findings import ImageReference
from dicom_sr.read.pixels import Picture, UltrasoundRegion
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.geometry import FIELD_2D, SIZE_2D, SIZE_3D
from pipelines.joint_classification.prepare import Inputs, prepare, resize
from pipelines.joint_classification.simulation.case import Case
from pipelines.joint_classification.simulation.screen import show
from pipelines.joint_classification.ultrasound import windows

SOFTEST_PX = 0.7  # standard deviation of the blur of a screen that was resampled
GRAIN = 0.012  # standard deviation of its noise

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


def cohort(cases: Sequence[Case], inputs: Inputs = "grey") -> Cohort:
    """Simulated cases as the network sees them."""
    return Cohort(
        np.stack([prepare(case.image, inputs) for case in cases])[:, None],
        np.array([CLASSES.index(case.condition) if case.condition else -1 for case in cases]),
        np.array([case.patient for case in cases]),
        np.array([case.age_years for case in cases]),
        np.array([float(case.female) for case in cases]),
        np.array([case.severity for case in cases]),
        np.stack([fitted(case.lesion) for case in cases]),
        tuple(case.kind for case in cases),
    )


def joined(one: Cohort, other: Cohort) -> Cohort:
    """Both, one after the other; patients keep their numbers."""
    return Cohort(
        np.concatenate([one.images, other.images]),
        np.concatenate([one.labels, other.labels]),
        np.concatenate([one.patients, other.patients]),
        np.concatenate([one.ages, other.ages]),
        np.concatenate([one.female, other.female]),
        np.concatenate([one.severity, other.severity]),
        np.concatenate([one.lesions, other.lesions]),
        one.kinds + other.kinds,
    )


def unit(image: Array) -> Array:
    """An image in 0..1, whatever its range was."""
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) / max(high - low, 1e-6), np.float32)


def on_screen(cases: Sequence[Case], seed: int, share: float = 0.0) -> list[Case]:
    """The same pictures softer, a little noisy and in 256 steps, as scanners store them.

    Parameters
    ----------
    cases
        The pictures.
    seed
        Of blur and noise.
    share
        Of the pictures that are drawn on a scanner's screen, with writing and rulers, and read from it again as the
        node does. Where their lesions lie is not known any more.
    """
    rng = np.random.default_rng([seed, 8])
    shown = []
    for case in cases:
        if rng.random() < share:
            empty = np.zeros_like(case.lesion)
            shown.append(replace(case, image=_read_again(case.image, float(rng.uniform(0.045, 0.075))), lesion=empty))
            continue
        soft = ndimage.gaussian_filter(case.image, rng.uniform(0.0, SOFTEST_PX))
        grainy = soft + rng.normal(0.0, rng.uniform(0.0, GRAIN), soft.shape)
        steps = np.round(np.clip(grainy, 0, 1) * 255) / 255
        shown.append(replace(case, image=np.asarray(steps, np.float32)))
    return shown


def _read_again(image: Array, pixel_mm: float) -> Array:
    """What the node makes of a picture on a scanner's screen."""
    screen = show(image, pixel_mm=pixel_mm)
    region = UltrasoundRegion(screen.box, (pixel_mm, pixel_mm), 1)
    picture = Picture(ImageReference("1"), screen.pixels, "", None, "none", regions=(region,))
    return np.asarray(windows(picture)[0], np.float32)


def fitted(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask on the grid that `prepare` brings its image to."""
    if mask.ndim == 2:
        return np.asarray(resize(mask.astype(np.float32), FIELD_2D)[: SIZE_2D[0]] > 0.3)
    return np.asarray(resize(mask.astype(np.float32), SIZE_3D) > 0.3)


def folds(patients: NDArray[np.int64], number: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Split cases into folds so that no patient is on both sides.

    Parameters
    ----------
    patients
        (N,) patient of each case.
    number
        Of folds.
    seed
        Of the split.

    Returns
    -------
    list
        Indices to train on and to test on, for each fold.
    """
    unique = np.unique(patients)
    np.random.default_rng(seed).shuffle(unique)
    parts = np.array_split(unique, number)
    return [(np.flatnonzero(~np.isin(patients, part)), np.flatnonzero(np.isin(patients, part))) for part in parts]
