"""How well grades are read: agreement, errors, calibration, and the surrogate of the RA2-DREAM metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def quadratic_weighted_kappa(truth: Array, grade: Array, maximum: int) -> float:
    """Agreement of whole grades 0..maximum beyond chance, disagreements weighted by their square; nan if undefined."""
    counts = np.zeros((maximum + 1, maximum + 1))
    np.add.at(counts, (np.rint(truth).astype(int), np.clip(np.rint(grade), 0, maximum).astype(int)), 1)
    levels = np.arange(maximum + 1)
    weight = (levels[:, None] - levels[None, :]) ** 2
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(1.0, counts.sum())
    chance = float((weight * expected).sum())
    return 1 - float((weight * counts).sum()) / chance if chance else float("nan")


def balanced_accuracy(truth: Array, grade: Array) -> float:
    """Mean over the true grades of the share read exactly."""
    whole = np.rint(truth)
    return float(np.mean([np.mean(np.rint(grade[whole == level]) == level) for level in np.unique(whole)]))


def calibration_error(confidence: Array, correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error of the likeliest grade, bins of equal width."""
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(float(confidence[index == b].mean()) - float(correct[index == b].mean())) * float(np.mean(index == b))
        for b in range(bins)
        if np.any(index == b)
    ]
    return float(sum(gaps))


@dataclass(frozen=True)
class Agreement:
    """One row of a table."""

    count: int
    kappa: float
    mae: float
    rmse: float
    rmse_damaged: float  # over joints whose true grade is above 0
    balanced_accuracy: float


def agreement(truth: Array, score: Array, maximum: int) -> Agreement:
    """Continuous scores against true grades."""
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


# ---------------------------------------------------------------- the challenge's metrics, as far as they are known
@dataclass(frozen=True)
class Surrogate:
    """Stand-ins for the metrics of the RA2-DREAM challenge, whose bins, weights and transform were never published."""

    overall_log: float  # weighted mean of |log2(1 + predicted) - log2(1 + true)| of the total
    overall_units: float  # the same in score units
    narrowing_rmse: float  # weighted mean over patients of the RMSE over their narrowing cells
    erosion_rmse: float


def damage_weights(sums: Array, edges: Sequence[float]) -> Array:
    """(P,) weight of each patient: one over the number of patients in the same damage bin.

    `edges` are the lower ends of the bins above the first, e.g. (1, 10, 30, 100) for 0, 1-9, 10-29, 30-99 and above.
    """
    index = np.searchsorted(np.asarray(edges, np.float64), sums, side="right")
    counts = np.bincount(index, minlength=len(edges) + 1)
    return np.asarray(1.0 / counts[index])


def surrogate(
    truth: Mapping[str, Mapping[str, Array]], score: Mapping[str, Mapping[str, Array]], edges: Sequence[float]
) -> Surrogate:
    """The surrogate metrics.

    Parameters
    ----------
    truth, score
        Patient to {"erosion": (E,), "narrowing": (J,)} grades of the same cells in the same order.
    """
    patients = list(truth)

    def sums(table: Mapping[str, Mapping[str, Array]], kinds: Sequence[str]) -> Array:
        return np.array([sum(float(table[p][kind].sum()) for kind in kinds) for p in patients])

    def rmse(kind: str) -> float:
        weights = damage_weights(sums(truth, [kind]), edges)
        errors = np.array([np.sqrt(np.mean((score[p][kind] - truth[p][kind]) ** 2)) for p in patients])
        return float(weights @ errors / weights.sum())

    both = ("erosion", "narrowing")
    total_true, total_score = sums(truth, both), sums(score, both)
    weights = damage_weights(total_true, edges)
    logs = np.abs(np.log2(1 + total_score) - np.log2(1 + total_true))
    return Surrogate(
        float(weights @ logs / weights.sum()),
        float(weights @ np.abs(total_score - total_true) / weights.sum()),
        rmse("narrowing"),
        rmse("erosion"),
    )
