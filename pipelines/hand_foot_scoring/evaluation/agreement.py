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

Array = NDArray[np.float64]


def quadratic_weighted_kappa(truth: Array, grade: Array, maximum: int) -> float:
    """Agreement of whole grades beyond chance, disagreements weighted by their square (Cohen 1968).

    Parameters
    ----------
    truth, grade
        (N,) true and read grades; both are rounded.
    maximum
        Highest grade.

    Returns
    -------
    float
        At most 1; nan where all grades are the same.
    """
    counts = np.zeros((maximum + 1, maximum + 1))
    np.add.at(counts, (np.rint(truth).astype(int), np.clip(np.rint(grade), 0, maximum).astype(int)), 1)
    levels = np.arange(maximum + 1)
    weight = (levels[:, None] - levels[None, :]) ** 2
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(1.0, counts.sum())
    chance = float((weight * expected).sum())
    return 1 - float((weight * counts).sum()) / chance if chance else float("nan")


def balanced_accuracy(truth: Array, grade: Array) -> float:
    """Share of the (N,) grades that were read exactly, averaged over the true grades."""
    whole = np.rint(truth)
    return float(np.mean([np.mean(np.rint(grade[whole == level]) == level) for level in np.unique(whole)]))


def calibration_error(confidence: Array, correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error of the likeliest grade.

    Parameters
    ----------
    confidence
        (N,) probability of the likeliest grade.
    correct
        (N,) whether it is the true one.
    bins
        Number of bins of confidence, of equal width.
    """
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(float(confidence[index == b].mean()) - float(correct[index == b].mean())) * float(np.mean(index == b))
        for b in range(bins)
        if np.any(index == b)
    ]
    return float(sum(gaps))


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
    return {
        head: calibration_error(p.max(axis=1), p.argmax(axis=1) == rows[head].grades)
        for head, p in probabilities.items()
    }


def state_accuracy(network: Damage, crops: Crops) -> float:
    """Share of crops whose state (readable, implant, covered, no joint) is recognised."""
    return float((raw_outputs(network, crops)["state"].argmax(axis=1) == crops.states).mean())


def plain(table: Mapping[str, Mapping[str, Agreement]]) -> dict[str, dict[str, dict[str, float]]]:
    """The same table as plain numbers, for JSON."""
    return {head: {name: asdict(row) for name, row in rows.items()} for head, rows in table.items()}
