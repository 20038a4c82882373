"""The cases of a training: simulated patients, or those of a folder, some to learn from and others to calibrate on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.kinds import Dimensions
from pipelines.joint_classification.prepare import Inputs, normalise, prepare
from pipelines.joint_classification.simulation import disturb, metacarpal, ultrasound
from pipelines.joint_classification.simulation.case import Case
from pipelines.joint_classification.training.cohort import Cohort, cohort, folds, joined, on_screen, unit
from pipelines.joint_classification.training.folder import data_digest, read_folder

RESCANNED: dict[int, int] = {2: 120, 3: 60}  # joints of which each has REPEATS scans
REPEATS = 4
SCREENED = 0.15  # of the training pictures, read from a screen: slow to make
SCREENED_HELD_OUT = 0.5
NO_LESION = np.zeros((1, 1), bool)
DISTURBED = 0.6  # disturbed and made-up cases, per case
FEW = 3000  # cases from which the gate learns what known ones look like

WHAT = {2: "ultrasound images of finger joints", 3: "HR-pQCT scans of second metacarpal heads"}


@dataclass(frozen=True)
class TrainingCases:
    """What a network is trained on, and what is fitted to it afterwards."""

    known: Cohort  # of a class
    foreign: Cohort  # of none
    held_out: Cohort  # of a class, of other patients: these calibrate
    repeats: (
        Cohort | None
    )  # `REPEATS` scans of each of several other joints, one joint after the other; None: there are none
    source: str  # what they are, for the metadata
    use: str  # what a network that learned from them may be used for
    digest: str  # SHA-256, hex, of what is trained on
    facts: dict[str, Any]  # counts

    @property
    def trained_on(self) -> Cohort:
        """All that the network learns from."""
        return joined(self.known, self.foreign)

    @property
    def few(self) -> Cohort:
        """As many known cases as the gate needs."""
        return self.known.take(np.arange(min(FEW, len(self.known))))


def training_cases(
    dimensions: Dimensions, folder: str | Path, seed: int, patients: int, held_out: int, inputs: Inputs = "grey"
) -> TrainingCases:
    """The cases of a training: those of a folder where one is given, else simulated ones.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    folder
        In the layout `labels`, see `training.folder`; empty: none.
    seed
        Of the cases, or of how those of a folder are divided.
    patients, held_out
        Numbers of simulated patients to train and to calibrate on.
    inputs
        What a volume holds: grey values, bone mask or their product.

    Raises
    ------
    UnsuitableInput
        If the folder cannot be trained on.
    """
    if str(folder):
        return of_folder(dimensions, Path(folder), seed, inputs)
    return of_simulation(dimensions, seed, patients, held_out, inputs)


def of_simulation(
    dimensions: Dimensions, seed: int, patients: int, held_out: int, inputs: Inputs = "grey"
) -> TrainingCases:
    """Simulated patients, others of them to calibrate on.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    seed
        Of the cases.
    patients, held_out
        Numbers of patients.
    inputs
        What a volume holds: grey values, bone mask or their product.
    """
    known = simulated(dimensions, seed, patients, inputs, SCREENED)
    foreign = disturbances(seed + 3, known, round(DISTURBED * len(known)))
    return TrainingCases(
        known,
        foreign,
        simulated(dimensions, seed + 1, held_out, inputs, SCREENED_HELD_OUT),
        rescanned(dimensions, seed + 2, RESCANNED[dimensions], inputs),
        f"{len(known)} simulated {WHAT[dimensions]} of {patients} simulated patients",
        "not for clinical use",
        _array_digest(known, foreign),
        {"patients": patients, "cases": len(known), "calibration_patients": held_out},
    )


def of_folder(dimensions: Dimensions, folder: Path, seed: int, inputs: Inputs = "grey") -> TrainingCases:
    """The cases of a folder: four fifths of the patients to learn from, the others to calibrate on.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    folder
        In the layout `labels`, see `training.folder`.
    seed
        Of the division.
    inputs
        What a volume holds: grey values, bone mask or their product.

    Raises
    ------
    UnsuitableInput
        If a file cannot be read, a class is missing on one side of the division, or no patient to calibrate on has two
        scans.
    """
    found = read_folder(folder, dimensions, inputs)
    labelled = found.take(found.labels >= 0)
    if len(np.unique(labelled.patients)) < 5:
        raise UnsuitableInput(f"{folder}: has fewer than five patients with a class; some are needed on either side")
    train, test = folds(labelled.patients, 5, seed)[0]
    known, others = labelled.take(train), labelled.take(test)
    missing = [
        name for c, name in enumerate(CLASSES) if not (known.labels == c).any() or not (others.labels == c).any()
    ]
    if missing:
        raise UnsuitableInput(f"{folder}: too few patients: no {' and no '.join(missing)} on one side of the split")
    # an unknown case of a patient who calibrates stays out: nothing of them is learned from
    foreign = found.take((found.labels < 0) & ~np.isin(found.patients, others.patients))
    if np.unique(others.patients, return_counts=True)[1].max() < 2:
        raise UnsuitableInput(
            f"{folder}: no patient to calibrate on has two scans, from which the intervals are learned; add scans of"
            " patients who have one"
        )
    return TrainingCases(
        known,
        foreign,
        others,
        None,
        f"{len(known)} scans of {len(np.unique(known.patients))} patients of {folder.name}",
        "research use only, not for clinical use",
        data_digest(folder),
        {"cases": len(known), "calibration_cases": len(others)},
    )


def _array_digest(*cohorts: Cohort) -> str:
    whole = hashlib.sha256()
    for each in cohorts:
        whole.update(str(each.images.shape).encode())
        whole.update(np.ascontiguousarray(each.images).tobytes())
        whole.update(each.labels.astype("<i8").tobytes())
    return whole.hexdigest()


def simulated(
    dimensions: Dimensions, seed: int, patients: int, inputs: Inputs = "grey", screened: float = 0.0
) -> Cohort:
    """A cohort of simulated patients.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    seed
        Of the cohort.
    patients
        Number of patients.
    inputs
        What a volume holds: grey values, bone mask or their product.
    screened
        Share of the ultrasound pictures that are read from a scanner's screen.
    """
    if dimensions == 3:
        return cohort(metacarpal.patients(seed, patients, step=2), inputs)
    return cohort(on_screen(ultrasound.patients(seed, patients), seed, screened))


def disturbances(seed: int, known: Cohort, number: int) -> Cohort:
    """What "none of these" is learned from: disturbed known cases and, of pictures, every other one made up.

    Parameters
    ----------
    seed
        Of the disturbances.
    known
        The known cases.
    number
        Of cases to make.
    """
    rng = np.random.default_rng(seed)
    which = rng.integers(len(known), size=(number, 2))
    flat = known.images.ndim == 4
    images = []
    for place, (one, other) in enumerate(which):
        if flat and place % 2:
            (case,) = on_screen([Case(disturb.made_up(rng), None, 0.0, NO_LESION, 0, 0.0, False, (1.0, 1.0))], place)
            images.append(prepare(case.image))
            continue
        make = disturb.disturbed if flat else disturb.disturbed_volume
        image = make(rng, unit(known.images[one, 0]), unit(known.images[other, 0]))
        images.append(normalise(image, image.shape))
    taken = known.take(which[:, 0])
    return replace(
        taken,
        images=np.stack(images)[:, None],
        labels=np.full(number, -1),
        lesions=np.zeros_like(taken.lesions),
        kinds=("disturbed",) * number,
    )


def rescanned(dimensions: Dimensions, seed: int, joints: int, inputs: Inputs = "grey") -> Cohort:
    """Several scans (`REPEATS`) of each of some joints, one joint after the other.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    seed
        Of joints and scans.
    joints
        Number of joints.
    inputs
        What a volume holds: grey values, bone mask or their product.
    """
    rng = np.random.default_rng(seed)
    make = ultrasound.rescans if dimensions == 2 else metacarpal.rescans
    cases = [case for joint in range(joints) for case in make(rng, CLASSES[joint % 3], joint, None, REPEATS)]
    return cohort(on_screen(cases, seed) if dimensions == 2 else cases, inputs)
