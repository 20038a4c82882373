"""Probabilities that hold, and what a patient's other joints say about one, on made-up grades."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.calibration import POOLINGS, GradeCalibration, Pooling
from pipelines.hand_foot_scoring.evaluation.agreement import calibration_error
from pipelines.hand_foot_scoring.heads import head_of
from pipelines.hand_foot_scoring.reading import pooled
from pipelines.hand_foot_scoring.scoring import CELLS, Cell, NotScored, Reading, Reason, Scored
from pipelines.hand_foot_scoring.sites import Side
from pipelines.hand_foot_scoring.training.calibration import (
    GradedJoints,
    coverage,
    fit_calibration,
    patient_totals,
    patients_probabilities,
)

PATIENTS, JOINTS = 120, 24  # a patient's joints are 12 sites, each on both sides


def made_up(seed: int) -> tuple[dict[str, NDArray[np.float64]], dict[str, GradedJoints]]:
    """Narrowing grades of patients who are ill to a different degree, and logits that see them blurred and boast."""
    rng = np.random.default_rng(seed)
    severity = rng.choice([0.1, 0.5, 2.0], PATIENTS)
    grades = np.minimum(rng.poisson(np.repeat(severity, JOINTS)), 4).astype(np.float64)
    seen = grades + rng.normal(0, 0.9, len(grades))
    logits = -4 * (seen[:, None] - np.arange(5)) ** 2 / (2 * 0.9**2)
    sites = np.tile(np.repeat(np.arange(1, JOINTS // 2 + 1), 2), PATIENTS)
    joints = GradedJoints(np.repeat(np.arange(PATIENTS), JOINTS), sites, grades)
    return {"narrowing": logits}, {"narrowing": joints}


@pytest.fixture(scope="module")
def fitted() -> GradeCalibration:
    return fit_calibration(*made_up(0))


def test_confidence_becomes_honest_on_patients_that_it_was_not_fitted_on(fitted: GradeCalibration) -> None:
    logits, joints = made_up(1)
    grades = joints["narrowing"].grades
    weight = np.exp(logits["narrowing"] - logits["narrowing"].max(axis=1, keepdims=True))
    for p, least, most in (
        (weight / weight.sum(axis=1, keepdims=True), 0.15, 1.0),
        (fitted.alone("narrowing", logits["narrowing"]), 0.0, 0.04),
    ):
        error = calibration_error(p, grades)
        assert least <= error <= most


def test_the_patients_other_joints_make_a_score_better(fitted: GradeCalibration) -> None:
    logits, joints = made_up(2)
    error = {}
    for pooling in POOLINGS:
        p = patients_probabilities(fitted, pooling, logits, joints)["narrowing"]
        error[pooling] = float(np.abs(p @ np.arange(5) - joints["narrowing"].grades).mean())
    assert error["patient"] < 0.95 * error["alone"]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_nine_in_ten_intervals_of_the_total_hold_it(fitted: GradeCalibration, pooling: Pooling) -> None:
    held = []
    for seed in (3, 4, 5):
        logits, joints = made_up(seed)
        p = patients_probabilities(fitted, pooling, logits, joints)
        held.append(coverage(patient_totals(p, joints), fitted.correlation(pooling)))
    # a quantile of 120 patients has a standard error of 2.7 %, a share of 360 one of 1.6 %: three of both together
    assert 0.805 < np.mean(held) < 0.995


def test_a_joint_finds_its_counterpart_on_the_other_side() -> None:
    joints = GradedJoints(np.array([0, 0, 0, 1, 1]), np.array([3, 7, 3, 3, 7]), np.zeros(5))
    assert joints.other_side.tolist() == [2, -1, 0, -1, -1]


def test_readings_of_a_patient_are_pooled_like_the_rows_they_were_fitted_on(fitted: GradeCalibration) -> None:
    logits, joints = made_up(6)
    mine = joints["narrowing"].patients == 0
    one = {"narrowing": logits["narrowing"][mine]}
    rows = GradedJoints(np.zeros(JOINTS, np.int64), joints["narrowing"].sites[mine], joints["narrowing"].grades[mine])
    expected = patients_probabilities(fitted, "both", one, {"narrowing": rows})["narrowing"]
    names = [c.site for c in CELLS if c.limb == "hand" and c.kind == "narrowing" and c.side == "L"][:12]
    sides: tuple[Side, ...] = ("L", "R")
    cells = [Cell(side, "hand", name, "narrowing") for name in names for side in sides]
    alone: dict[Cell, Reading] = {
        cell: Scored(tuple(p)) for cell, p in zip(cells, fitted.alone("narrowing", one["narrowing"]), strict=True)
    }
    unread = Cell("L", "foot", "MTP1", "narrowing")
    together = pooled({**alone, unread: NotScored(Reason.COVERED)}, fitted, "both")
    assert together[unread] == NotScored(Reason.COVERED)
    assert {head_of(cell) for cell in cells} == {"narrowing"}
    for cell, p in zip(cells, expected, strict=True):
        reading = together[cell]
        assert isinstance(reading, Scored)
        np.testing.assert_allclose(reading.probabilities, p, atol=1e-9)
    assert pooled(alone, fitted, "alone") == alone
