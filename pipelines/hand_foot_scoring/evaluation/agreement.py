"""How well grades are read: agreement with the true grades, in each family of joints, and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.gate import family
from pipelines.hand_foot_scoring.heads import MAXIMUM
from pipelines.hand_foot_scoring.network import Damage
from pipelines.hand_foot_scoring.simulation.crops import Crops
from pipelines.hand_foot_scoring.training.calibration import GradedJoints
from pipelines.hand_foot_scoring.training.damage_heads import logits, raw_outputs
from pipelines.lab.measures import balanced_accuracy, expected_calibration_error, likeliest, quadratic_weighted_kappa

Array = NDArray[np.float64]


BINS = 15  # of confidence, for the calibration error


@dataclass(frozen=True)
class Agreement:
    """How well the scores of some joints agree with their true grades."""

    count: int
    kappa: float
    mae: float
    rmse: float
    rmse_damaged: float  # over joints whose true grade is above 0
    balanced_accuracy: float


AGREEMENT_COLUMNS = tuple(field.name for field in fields(Agreement))


def agreement(truth: Array, score: Array, maximum: int) -> Agreement:
    """Compare continuous scores with true grades.

    Parameters
    ----------
    truth
        (N,) grades 0..maximum.
    score
        (N,) expected grades.
    maximum
        Highest grade.
    """
    error = score - truth
    damaged = truth > 0
    return Agreement(
        len(truth),
        quadratic_weighted_kappa(truth, score, maximum),
        float(np.abs(error).mean()),
        float(np.sqrt((error**2).mean())),
        float(np.sqrt((error[damaged] ** 2).mean())) if damaged.any() else float("nan"),
        balanced_accuracy(truth, np.clip(score, 0, maximum)),
    )


def scores(network: Damage, crops: Crops) -> dict[str, NDArray[np.float64]]:
    """Probabilities (N, maximum + 1) of each head's crops, uncalibrated."""
    return {head: np.exp(logarithms.astype(np.float64)) for head, logarithms in logits(network, crops).items()}


def by_family(
    probabilities: Mapping[str, NDArray[np.float64]], rows: Mapping[str, GradedJoints]
) -> dict[str, dict[str, Agreement]]:
    """Agreement of the expected grade with the true one: head to joint family, "all" among them, to figures."""
    result: dict[str, dict[str, Agreement]] = {}
    for head, top in MAXIMUM.items():
        families = np.array([family(int(site)) for site in rows[head].sites])
        expected = probabilities[head] @ np.arange(top + 1)
        masks = {"all": np.ones(len(families), bool)} | {
            name: families == name for name in dict.fromkeys(families.tolist())
        }
        result[head] = {name: agreement(rows[head].grades[mask], expected[mask], top) for name, mask in masks.items()}
    return result


def all_zero(rows: Mapping[str, GradedJoints]) -> dict[str, dict[str, Agreement]]:
    """The agreement of a reader who calls every joint undamaged."""
    return by_family(
        {head: np.eye(1, top + 1).repeat(len(rows[head].sites), axis=0) for head, top in MAXIMUM.items()}, rows
    )


def calibration_errors(
    probabilities: Mapping[str, NDArray[np.float64]], rows: Mapping[str, GradedJoints]
) -> dict[str, float]:
    """Expected calibration error of each head."""
    return {head: calibration_error(p, rows[head].grades) for head, p in probabilities.items()}


def calibration_error(probabilities: Array, truth: Array) -> float:
    """Expected calibration error of the likeliest of the (N, maximum + 1) grades, against (N,) true ones, rounded."""
    return expected_calibration_error(*likeliest(probabilities, np.rint(truth).astype(np.int64)), BINS)


def state_accuracy(network: Damage, crops: Crops) -> float:
    """Share of crops whose state (readable, implant, covered, no joint) is recognised."""
    return float((raw_outputs(network, crops)["state"].argmax(axis=1) == crops.states).mean())


def plain(table: Mapping[str, Mapping[str, Agreement]]) -> dict[str, dict[str, dict[str, float]]]:
    """The same table as plain numbers, for JSON."""
    return {head: {name: asdict(row) for name, row in rows.items()} for head, rows in table.items()}
