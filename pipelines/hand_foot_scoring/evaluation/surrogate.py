"""A surrogate of the metrics of the RA2-DREAM challenge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from pipelines.hand_foot_scoring.evaluation.agreement import Array

BINS = Path(__file__).parent / "surrogate.yaml"


@dataclass(frozen=True)
class Surrogate:
    """Stand-ins for the metrics of the RA2-DREAM challenge, whose bins, weights and transform were never published."""

    overall_log: float  # weighted mean of |log2(1 + predicted) - log2(1 + true)| of the total
    overall_units: float  # the same in score units
    narrowing_rmse: float  # weighted mean over patients of the RMSE over their narrowing cells
    erosion_rmse: float


def damage_weights(sums: Array, edges: Sequence[float]) -> Array:
    """Weight (P,) of each patient by the true sums (P,): one over the number of patients in the same damage bin.

    `edges` are the lower ends of the bins above the first, e.g. (1, 10, 30, 100) for 0, 1-9, 10-29, 30-99 and above.
    """
    index = np.searchsorted(np.asarray(edges, np.float64), sums, side="right")
    counts = np.bincount(index, minlength=len(edges) + 1)
    return np.asarray(1.0 / counts[index])


def surrogate(
    truth: Mapping[str, Mapping[str, Array]], score: Mapping[str, Mapping[str, Array]], edges: Sequence[float]
) -> Surrogate:
    """The surrogate metrics of scores against true grades.

    Parameters
    ----------
    truth, score
        Patient to {"erosion": (E,), "narrowing": (J,)} grades of the same cells in the same order.
    edges
        Lower ends of the damage bins above the first, in units of a patient's sum.
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


def read_edges(path: Path) -> list[float]:
    """The edges of the damage bins in a YAML file: lower ends of the bins above the first."""
    return [float(edge) for edge in yaml.safe_load(path.read_text(encoding="utf-8"))["edges"]]
