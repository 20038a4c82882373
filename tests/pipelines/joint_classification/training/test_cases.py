"""The cases of a training: patients are on one side only, and other data have another digest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification.geometry import SIZE_2D
from pipelines.joint_classification.training import cases
from pipelines.joint_classification.training.cases import disturbances, of_folder, of_simulation, simulated
from pipelines.joint_classification.training.cohort import Cohort


def cohort(labels: list[int], patients: list[int]) -> Cohort:
    """Cases as a folder would give them; the value of an image is the number of its patient."""
    number = len(labels)
    images = np.zeros((number, 1, *SIZE_2D), np.float32) + np.array(patients, np.float32)[:, None, None, None]
    none = np.full(number, np.nan)
    kinds = tuple("" if label >= 0 else "unknown" for label in labels)
    return Cohort(
        images, np.array(labels), np.array(patients), none, none, none, np.zeros((number, *SIZE_2D), bool), kinds
    )


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the folder is to hold is set by the test."""

    def holds(found: Cohort) -> None:
        monkeypatch.setattr(cases, "read_folder", lambda *_: found)
        monkeypatch.setattr(cases, "data_digest", lambda _: "12")

    return holds


def test_no_patient_is_learned_from_and_calibrated_on(folder: Any) -> None:
    patients = np.repeat(np.arange(30), 3)
    labels = np.where(np.arange(90) % 3 == 2, -1, np.repeat(np.arange(30) % 3, 3))  # one scan of three is of no class
    folder(cohort(labels.tolist(), patients.tolist()))
    found = of_folder(2, Path("site"), 0)
    learned = set(found.trained_on.patients)
    assert not learned & set(found.held_out.patients)
    assert len(found.foreign) == len(learned)
    assert (found.trained_on.labels < 0).sum() == len(found.foreign)
    assert found.repeats is None
    assert found.source == f"{len(found.known)} scans of {len(learned)} patients of site"
    assert found.digest == "12"


def test_too_few_patients_are_refused_with_what_is_missing(folder: Any) -> None:
    folder(cohort([0, 1, 2, 0], [0, 1, 2, 3]))
    with pytest.raises(UnsuitableInput, match="fewer than five patients"):
        of_folder(2, Path("site"), 0)
    folder(cohort([0] * 10, list(range(10))))
    with pytest.raises(UnsuitableInput, match="no ra and no psa on one side"):
        of_folder(2, Path("site"), 0)
    folder(cohort([0, 1, 2] * 20, list(range(60))))
    with pytest.raises(UnsuitableInput, match="no patient to calibrate on has two scans"):
        of_folder(2, Path("site"), 0)


def test_other_simulated_patients_have_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cases.RESCANNED, 2, 1)
    monkeypatch.setattr(cases, "SCREENED", 0.0)
    monkeypatch.setattr(cases, "SCREENED_HELD_OUT", 0.0)
    one, again, other = (of_simulation(2, seed, 4, 2) for seed in (1, 1, 2))
    assert one.digest == again.digest != other.digest
    assert one.repeats is not None
    assert len(one.repeats) == cases.REPEATS
    assert "of 4 simulated patients" in one.source
    assert (one.trained_on.labels >= 0).sum() == len(one.known) == len(one.few)


def test_what_is_disturbed_is_of_no_class() -> None:
    known = simulated(2, 3, 3)
    made = disturbances(4, known, 5)
    assert made.labels.tolist() == [-1] * 5
    assert made.images.shape == (5, *known.images.shape[1:])
    assert replace(made).kinds == ("disturbed",) * 5
