"""From the logits of the heads to probabilities that hold on simulated patients.

The heads learn from grades that are mostly spread evenly and with smoothed labels; patients have mostly undamaged
joints. A small linear map of the log-probabilities corrects that and wrong confidence (Dirichlet calibration, Kull
2019). A second map may look at the patient's other joints as well: joints of one patient are ill together, and those of
both sides alike. `training.calibration` fits both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

Array = NDArray[np.float64]
# What a score depends on: the crop alone, the same joint of the other side, the patient's other joints, or both of
# these.
Pooling = Literal["alone", "side", "patient", "both"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
DEFAULT_POOLING: Pooling = "patient"  # also of the pipeline's settings, which are read without torch
COLUMNS: Mapping[Pooling, tuple[int, ...]] = {"alone": (), "side": (0,), "patient": (1,), "both": (0, 1)}
_FLOOR = 0.02  # share of the scale added before a logarithm: 0.1 grades of a hand
_SMALLEST = 1e-6  # probability before a logarithm


def context(probabilities: Array, patients: NDArray[np.int64], other_side: NDArray[np.int64]) -> Array:
    """How damaged the same joint of the other side and, on average, the patient's other joints look.

    Parameters
    ----------
    probabilities
        (N, maximum + 1) from the crops alone.
    patients
        (N,) patient of each row.
    other_side
        (N,) row of the same joint on the other side, or -1: then the mean of the patient's other joints is taken.

    Returns
    -------
    Array
        (N, 2) logarithms of the expected grade as a share of the scale.
    """
    top = probabilities.shape[1] - 1
    share = probabilities @ np.arange(top + 1) / top
    _, index = np.unique(patients, return_inverse=True)
    total, count = np.bincount(index, share), np.bincount(index)
    # a joint that is alone in its patient has only itself
    others = np.where(count[index] > 1, (total[index] - share) / np.maximum(count[index] - 1, 1), share)
    counterpart = np.where(other_side >= 0, share[other_side], others)
    return np.asarray(np.log(np.column_stack((counterpart, others)) + _FLOOR))


@dataclass(frozen=True)
class CalibrationMap:
    """A linear map of log-probabilities for each head."""

    matrix: Mapping[str, tuple[tuple[float, ...], ...]]  # head to (maximum + 1, maximum + 1)
    bias: Mapping[str, tuple[float, ...]]  # head to (maximum + 1,)
    lean: Mapping[str, tuple[tuple[float, ...], ...]]  # head to (columns of the context, maximum + 1)
    correlation: float  # between the errors of two cells of one patient

    def apply(self, head: str, logarithms: Array, around: Array | None = None) -> Array:
        """Map the log-probabilities of a head's rows.

        Parameters
        ----------
        head
            One of `heads.MAXIMUM`.
        logarithms
            (N, maximum + 1) log-probabilities, up to a constant for each row.
        around
            (N, columns) of what `context` gives; None for a map that does not use it.

        Returns
        -------
        Array
            (N, maximum + 1) probabilities.
        """
        scaled = logarithms @ np.asarray(self.matrix[head]) + np.asarray(self.bias[head])
        if around is not None and self.lean[head]:
            scaled = scaled + around @ np.asarray(self.lean[head])
        return np.asarray(softmax(scaled, axis=1), np.float64)


@dataclass(frozen=True)
class GradeCalibration:
    """The fitted maps: that of "alone" takes logits, the others take the probabilities that "alone" gave."""

    stages: Mapping[Pooling, CalibrationMap]

    def alone(self, head: str, logits: NDArray[np.floating[Any]]) -> Array:
        """Probabilities (N, maximum + 1) from the logits (N, maximum + 1) of crops."""
        return self.stages["alone"].apply(head, log_probabilities(logits))

    def pooled(self, pooling: Pooling, head: str, probabilities: Array, around: Array) -> Array:
        """Let the probabilities of a head depend on the patient's other joints.

        Parameters
        ----------
        pooling
            Which other joints count; "alone" changes nothing.
        head
            One of `heads.MAXIMUM`.
        probabilities
            (N, maximum + 1), from `alone`.
        around
            (N, 2), from `context`.

        Returns
        -------
        Array
            (N, maximum + 1) probabilities.
        """
        if pooling == "alone":
            return probabilities
        return self.stages[pooling].apply(head, clipped_log(probabilities), around[:, COLUMNS[pooling]])

    def correlation(self, pooling: Pooling) -> float:
        """Correlation between the errors of two cells of one patient."""
        return self.stages[pooling].correlation


def log_probabilities(logits: NDArray[np.floating[Any]]) -> Array:
    """Logarithms of the probabilities that (N, K) logits stand for, in double precision."""
    return np.asarray(log_softmax(np.asarray(logits, np.float64), axis=1))


def clipped_log(probabilities: Array) -> Array:
    """Logarithms of (N, K) probabilities, none below that of one in a million."""
    return np.asarray(np.log(np.maximum(probabilities, _SMALLEST)))
