"""Fits the calibration of the grades on held-out patients, and says how well it holds for their totals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipelines.hand_foot_scoring.calibration import (
    COLUMNS,
    POOLINGS,
    Array,
    CalibrationMap,
    GradeCalibration,
    Pooling,
    clipped_log,
    context,
    log_probabilities,
)
from pipelines.hand_foot_scoring.heads import MAXIMUM, hard_target
from pipelines.hand_foot_scoring.scoring import INTERVAL_LEVEL, INTERVAL_SPREAD

# How strongly the fit keeps the matrix near the identity, and bias and lean near zero.
_TOWARDS_IDENTITY, _TOWARDS_ZERO = 3e-3, 1e-3
Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class GradedJoints:
    """The rows of one head: joints that have a grade."""

    patients: NDArray[np.int64]  # (N,)
    sites: NDArray[np.int64]  # (N,) class of the site: each patient has it twice, right and left
    grades: Array  # (N,)

    @property
    def other_side(self) -> NDArray[np.int64]:
        """Row (N,) of the same joint on the patient's other side, -1 where it has no grade."""
        first: dict[tuple[int, int], int] = {}
        partner = np.full(len(self.sites), -1)
        for row, key in enumerate(zip(self.patients.tolist(), self.sites.tolist(), strict=True)):
            if key in first:
                partner[row], partner[first[key]] = first[key], row
            else:
                first[key] = row
        return partner

    def context(self, probabilities: Array) -> Array:
        """What `calibration.context` makes of (N, maximum + 1) probabilities of these joints: (N, 2)."""
        return context(probabilities, self.patients, self.other_side)


def fit_calibration(
    logits: Mapping[str, NDArray[np.floating[Any]]], joints: Mapping[str, GradedJoints]
) -> GradeCalibration:
    """Fit every map by penalised maximum likelihood on joints of patients that no network learned from.

    Parameters
    ----------
    logits
        Head to (N, maximum + 1) numbers.
    joints
        Head to the joints that these rows are of.
    """
    alone = _fit_maps({head: log_probabilities(values) for head, values in logits.items()}, joints, {})
    first = {head: alone.apply(head, log_probabilities(values)) for head, values in logits.items()}
    logarithms = {head: clipped_log(p) for head, p in first.items()}
    around = {head: joints[head].context(p) for head, p in first.items()}
    stages: dict[Pooling, CalibrationMap] = {"alone": alone}
    for pooling in POOLINGS[1:]:
        columns = {head: values[:, COLUMNS[pooling]] for head, values in around.items()}
        stages[pooling] = _fit_maps(logarithms, joints, columns)
    return GradeCalibration(stages)


def _fit_maps(
    logarithms: Mapping[str, Array], joints: Mapping[str, GradedJoints], around: Mapping[str, Array]
) -> CalibrationMap:
    matrix, bias, lean = {}, {}, {}
    for head, values in logarithms.items():
        beside = around.get(head, np.zeros((len(values), 0)))
        matrix[head], bias[head], lean[head] = _fit_map(values, beside, joints[head].grades)
    uncorrelated = CalibrationMap(matrix, bias, lean, 0.0)
    probabilities = {head: uncorrelated.apply(head, values, around.get(head)) for head, values in logarithms.items()}
    return CalibrationMap(matrix, bias, lean, _error_correlation(patient_totals(probabilities, joints)))


def _fit_map(logarithms: Array, around: Array, grades: Array) -> tuple[Rows, tuple[float, ...], Rows]:
    inputs, beside = torch.from_numpy(logarithms), torch.from_numpy(around)
    size = logarithms.shape[1]
    target = hard_target(torch.from_numpy(grades), size - 1)  # two readers' mean may lie between two grades
    identity = torch.eye(size, dtype=torch.float64)
    matrix = identity.clone().requires_grad_()
    bias = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    lean = torch.zeros(around.shape[1], size, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([matrix, bias, lean], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = functional.cross_entropy(inputs @ matrix + bias + beside @ lean, target)
        value = value + _TOWARDS_IDENTITY * ((matrix - identity) ** 2).sum()
        # a grade that hardly occurs must not get a bias of minus infinity
        value = value + _TOWARDS_ZERO * (0.1 * (bias**2).sum() + (lean**2).sum())
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return _rounded(matrix), tuple(bias.tolist()), _rounded(lean)


def _rounded(values: Tensor) -> Rows:
    return tuple(tuple(round(float(x), 6) for x in row) for row in values.detach())


def patients_probabilities(
    calibration: GradeCalibration,
    pooling: Pooling,
    logits: Mapping[str, NDArray[np.floating[Any]]],
    joints: Mapping[str, GradedJoints],
) -> dict[str, Array]:
    """Calibrated probabilities of joints of whole patients.

    Parameters
    ----------
    calibration
        The fitted maps.
    pooling
        What a score depends on beside its own joint.
    logits, joints
        As for `fit`.

    Returns
    -------
    dict
        Head to (N, maximum + 1) probabilities.
    """
    alone = {head: calibration.alone(head, logits[head]) for head in joints}
    return {head: calibration.pooled(pooling, head, p, joints[head].context(p)) for head, p in alone.items()}


# ---------------------------------------------------------------- totals
@dataclass(frozen=True)
class PatientTotal:
    """Error of one patient's total, and what the spreads of its cells say about it."""

    error: float
    squares: float  # sum of the variances of the cells
    spreads: float  # sum of the standard deviations

    def deviation(self, correlation: float) -> float:
        """Standard deviation of the total if the errors of two cells have this correlation."""
        return float(np.sqrt((1 - correlation) * self.squares + correlation * self.spreads**2))


def patient_totals(probabilities: Mapping[str, Array], joints: Mapping[str, GradedJoints]) -> list[PatientTotal]:
    """For each patient the expected total minus the true one, over every readable cell."""
    parts: dict[int, list[NDArray[np.float64]]] = {}
    for head, p in probabilities.items():
        levels = np.arange(MAXIMUM[head] + 1)
        mean = p @ levels
        variance = np.maximum(p @ levels**2 - mean**2, 0)
        rows = np.column_stack((mean - joints[head].grades, variance, np.sqrt(variance)))
        for patient in np.unique(joints[head].patients):
            parts.setdefault(int(patient), []).append(rows[joints[head].patients == patient].sum(axis=0))
    return [PatientTotal(*(float(x) for x in np.sum(sums, axis=0))) for _, sums in sorted(parts.items())]


def _error_correlation(totals: list[PatientTotal]) -> float:
    """The correlation at which the 90 % intervals contain nine in ten of the true totals."""
    needed = [((t.error / INTERVAL_SPREAD) ** 2 - t.squares) / max(t.spreads**2 - t.squares, 1e-9) for t in totals]
    return float(np.clip(np.quantile(needed, INTERVAL_LEVEL), 0.0, 1.0))


def coverage(totals: list[PatientTotal], correlation: float) -> float:
    """Share of patients whose true total lies in the 90 % interval round the expected one."""
    return float(np.mean([abs(t.error) <= INTERVAL_SPREAD * t.deviation(correlation) for t in totals]))
