"""From the logits of the heads to probabilities that hold on simulated patients, and what other joints say about one.

The heads learn from grades that are mostly spread evenly and with smoothed labels; patients have mostly undamaged
joints. A small linear map of the log-probabilities takes that and wrong confidence out (Dirichlet calibration, Kull
2019). A second one may look at the patient's other joints as well: joints of one patient are ill together, and those of
both sides alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipelines.hand_foot_scoring.network import MAXIMUM
from pipelines.hand_foot_scoring.scoring import INTERVAL_LEVEL

Array = NDArray[np.float64]
# what a score leans on: the crop alone, the same joint of the other side, the patient's other joints, or both of these
Pooling = Literal["alone", "side", "patient", "both"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
COLUMNS: Mapping[Pooling, tuple[int, ...]] = {"alone": (), "side": (0,), "patient": (1,), "both": (0, 1)}
_Z = 1.6448536269514722  # standard normal quantile at 0.95
_FLOOR = 0.02  # share of the scale added before a logarithm: 0.1 grades of a hand
_LEAST = 1e-6
_TOWARDS_IDENTITY, _TOWARDS_NONE = 3e-3, 1e-3  # how strongly the map is held to changing nothing


@dataclass(frozen=True)
class Joints:
    """The rows of one head: joints that have a grade."""

    patients: NDArray[np.int64]
    sites: NDArray[np.int64]  # class of the site: each patient has it twice, right and left
    grades: Array

    @property
    def other_side(self) -> NDArray[np.int64]:
        """(N,) row of the same joint on the patient's other side, -1 where it has no grade."""
        first: dict[tuple[int, int], int] = {}
        partner = np.full(len(self.sites), -1)
        for row, key in enumerate(zip(self.patients.tolist(), self.sites.tolist(), strict=True)):
            if key in first:
                partner[row], partner[first[key]] = first[key], row
            else:
                first[key] = row
        return partner


def context(probabilities: Array, patients: NDArray[np.int64], other_side: NDArray[np.int64]) -> Array:
    """(N, 2) logarithms of how damaged the other side's joint and, on average, the patient's other joints look.

    Parameters
    ----------
    probabilities
        (N, maximum + 1) from the crops alone.
    patients, other_side
        (N,) patient of each row, and row of its counterpart or -1, where the mean of the others stands in.
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
class Stage:
    """A linear map of log-probabilities for each head."""

    matrix: Mapping[str, tuple[tuple[float, ...], ...]]  # head to (maximum + 1, maximum + 1)
    bias: Mapping[str, tuple[float, ...]]
    lean: Mapping[str, tuple[tuple[float, ...], ...]]  # head to (columns of the context, maximum + 1)
    correlation: float  # between the errors of two cells of one patient

    def apply(self, head: str, logarithms: Array, around: Array | None = None) -> Array:
        """(N, maximum + 1) probabilities from as many log-probabilities (of any scale) and the context's columns."""
        scaled = logarithms @ np.asarray(self.matrix[head]) + np.asarray(self.bias[head])
        if around is not None and self.lean[head]:
            scaled = scaled + around @ np.asarray(self.lean[head])
        weight = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float64)


@dataclass(frozen=True)
class Calibration:
    """The fitted maps: "alone" takes logits, the others take what "alone" gave."""

    stages: Mapping[Pooling, Stage]

    def alone(self, head: str, logits: NDArray[np.floating[Any]]) -> Array:
        """(N, maximum + 1) probabilities from the logits of crops."""
        return self.stages["alone"].apply(head, log_softmax(logits))

    def pooled(self, pooling: Pooling, head: str, probabilities: Array, around: Array) -> Array:
        """(N, maximum + 1) probabilities that lean on the patient's other joints; `around` as `context` gives it."""
        if pooling == "alone":
            return probabilities
        logarithms = np.log(np.maximum(probabilities, _LEAST))
        return self.stages[pooling].apply(head, logarithms, around[:, COLUMNS[pooling]])

    def of_patients(
        self, pooling: Pooling, logits: Mapping[str, NDArray[np.floating[Any]]], joints: Mapping[str, Joints]
    ) -> dict[str, Array]:
        """Probabilities of each head's rows, joints of whole patients."""
        return {
            head: self.pooled(pooling, head, p, context(p, joints[head].patients, joints[head].other_side))
            for head, p in ((head, self.alone(head, logits[head])) for head in joints)
        }

    def correlation(self, pooling: Pooling) -> float:
        """Correlation between the errors of two cells of one patient."""
        return self.stages[pooling].correlation


def log_softmax(logits: NDArray[np.floating[Any]]) -> Array:
    """(N, K) logarithms of probabilities."""
    shifted = np.asarray(logits, np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def fit(logits: Mapping[str, NDArray[np.floating[Any]]], joints: Mapping[str, Joints]) -> Calibration:
    """Every map by penalised maximum likelihood on joints of simulated patients that no network learned from.

    Parameters
    ----------
    logits, joints
        Head to (N, maximum + 1) numbers and to what these rows are.
    """
    alone = _stage({head: log_softmax(values) for head, values in logits.items()}, joints, {})
    first = {head: alone.apply(head, log_softmax(values)) for head, values in logits.items()}
    logarithms = {head: np.log(np.maximum(p, _LEAST)) for head, p in first.items()}
    around = {head: context(p, joints[head].patients, joints[head].other_side) for head, p in first.items()}
    stages: dict[Pooling, Stage] = {"alone": alone}
    for pooling in POOLINGS[1:]:
        stages[pooling] = _stage(
            logarithms, joints, {head: values[:, COLUMNS[pooling]] for head, values in around.items()}
        )
    return Calibration(stages)


def _stage(logarithms: Mapping[str, Array], joints: Mapping[str, Joints], around: Mapping[str, Array]) -> Stage:
    matrix, bias, lean = {}, {}, {}
    for head, values in logarithms.items():
        beside = around.get(head, np.zeros((len(values), 0)))
        matrix[head], bias[head], lean[head] = _fit(values, beside, joints[head].grades)
    free = Stage(matrix, bias, lean, 0.0)
    probabilities = {head: free.apply(head, values, around.get(head)) for head, values in logarithms.items()}
    return Stage(matrix, bias, lean, _error_correlation(patient_sums(probabilities, joints)))


def _fit(
    logarithms: Array, around: Array, grades: Array
) -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...], tuple[tuple[float, ...], ...]]:
    inputs, beside = torch.from_numpy(logarithms), torch.from_numpy(around)
    target = torch.from_numpy(grades).long()
    size = logarithms.shape[1]
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
        value = value + _TOWARDS_NONE * (0.1 * (bias**2).sum() + (lean**2).sum())
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return _rows(matrix), tuple(bias.tolist()), _rows(lean)


def _rows(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(float(x), 6) for x in row) for row in values.detach())


# ---------------------------------------------------------------- sums
@dataclass(frozen=True)
class PatientSum:
    """Error of one patient's sum and what its cells' spreads say about it."""

    error: float
    squares: float  # sum of the variances of the cells
    spreads: float  # sum of the standard deviations

    def deviation(self, correlation: float) -> float:
        """Standard deviation of the sum when the errors of two cells correlate so."""
        return float(np.sqrt((1 - correlation) * self.squares + correlation * self.spreads**2))


def patient_sums(probabilities: Mapping[str, Array], joints: Mapping[str, Joints]) -> list[PatientSum]:
    """Per patient: expected sum minus true sum over every readable cell."""
    parts: dict[int, list[NDArray[np.float64]]] = {}
    for head, p in probabilities.items():
        levels = np.arange(MAXIMUM[head] + 1)
        mean = p @ levels
        variance = np.maximum(p @ levels**2 - mean**2, 0)
        rows = np.column_stack((mean - joints[head].grades, variance, np.sqrt(variance)))
        for patient in np.unique(joints[head].patients):
            parts.setdefault(int(patient), []).append(rows[joints[head].patients == patient].sum(axis=0))
    return [PatientSum(*(float(x) for x in np.sum(sums, axis=0))) for _, sums in sorted(parts.items())]


def _error_correlation(sums: list[PatientSum]) -> float:
    """The correlation at which the 90 % intervals hold nine in ten of the sums."""
    needed = [((s.error / _Z) ** 2 - s.squares) / max(s.spreads**2 - s.squares, 1e-9) for s in sums]
    return float(np.clip(np.quantile(needed, INTERVAL_LEVEL), 0.0, 1.0))


def coverage(sums: list[PatientSum], correlation: float) -> float:
    """Share of patients whose true sum lies in the 90 % interval round the expected one."""
    return float(np.mean([abs(s.error) <= _Z * s.deviation(correlation) for s in sums]))
