"""How far two versions of a model agree: measurements, grades and regions, each with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST = 5  # pairs; of fewer nothing but their number and differences is told
DRAWS = 500  # of the bootstrap
SEED = 0
LIMITS = 1.96  # standard deviations either side of the bias that hold 95 % of normal differences

Interval = tuple[float, float]
"""Both ends of a 95 % interval."""


@dataclass(frozen=True)
class Limits:
    """Bias and limits of agreement (Bland and Altman 1986), second minus first, in the unit of the measurement.

    The intervals are by bootstrap over jobs: the values of one job are not independent of each other.
    """

    values: int
    jobs: int
    bias: float
    largest: float  # difference, without its sign
    bias_interval: Interval | None = None  # None, as the limits: too few jobs
    lower: float | None = None
    upper: float | None = None
    lower_interval: Interval | None = None
    upper_interval: Interval | None = None


def limits(first: Sequence[float], second: Sequence[float], jobs: Sequence[int]) -> Limits:
    """Bias and limits of agreement of some measurements.

    Parameters
    ----------
    first, second
        (N,) the values of the two versions, in pairs.
    jobs
        (N,) number of the pair of jobs that each pair of values is of.
    """
    differences, groups = np.asarray(second, np.float64) - np.asarray(first, np.float64), np.asarray(jobs)
    count = len(np.unique(groups))
    bias, largest = float(differences.mean()), float(np.abs(differences).max())
    if count < FEWEST:
        return Limits(len(differences), count, bias, largest)
    found = _bias_and_limits(differences)
    intervals = _bootstrap(lambda rows: _bias_and_limits(differences[rows]), groups)
    return Limits(
        len(differences), count, bias, largest, intervals["bias"], found["lower"], found["upper"],
        intervals["lower"], intervals["upper"],
    )  # fmt: skip


def _bias_and_limits(differences: NDArray[np.float64]) -> dict[str, float]:
    bias, spread = float(differences.mean()), float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return {"bias": bias, "lower": bias - LIMITS * spread, "upper": bias + LIMITS * spread}


@dataclass(frozen=True)
class Kappa:
    """Agreement of grades beyond chance (Cohen 1960, 1968)."""

    values: int
    jobs: int
    agreed: float  # share of the values that are the same
    kappa: float | None = None  # None: too few jobs, or one grade only
    interval: Interval | None = None
    weights: str = ""  # quadratic where the grades are ordered; empty: none


def kappa(first: Sequence[str], second: Sequence[str], jobs: Sequence[int]) -> Kappa:
    """Cohen's kappa of some grades; weighted by squares where every grade ends in a number, which orders them.

    Parameters
    ----------
    first, second
        (N,) the grades of the two versions, in pairs.
    jobs
        (N,) number of the pair of jobs that each pair of grades is of.
    """
    one, two, groups = np.asarray(first), np.asarray(second), np.asarray(jobs)
    count, agreed = len(np.unique(groups)), float((one == two).mean())
    grades = sorted({*first, *second}, key=grade_order)
    weights = "quadratic" if len(grades) > 2 and all(_number(grade) is not None for grade in grades) else ""
    if count < FEWEST or len(grades) < 2:
        return Kappa(len(one), count, agreed, weights=weights)
    from sklearn.metrics import cohen_kappa_score  # a second to import

    def measured(rows: NDArray[np.intp]) -> dict[str, float] | None:
        if len({*one[rows], *two[rows]}) < 2:
            return None
        value = cohen_kappa_score(one[rows], two[rows], labels=grades, weights=weights or None)
        return {"kappa": float(value)}

    found = measured(np.arange(len(one)))
    assert found is not None
    return Kappa(len(one), count, agreed, found["kappa"], _bootstrap(measured, groups)["kappa"], weights)


def grade_order(grade: str) -> tuple[bool, float, str]:
    """Sorts grades: those that end in a number by it, the others behind them by name."""
    number = _number(grade)
    return number is None, number or 0.0, grade


def _number(grade: str) -> int | None:
    """The number that a grade ends in, as in KL-2."""
    digits = grade[len(grade.rstrip("0123456789")) :]
    return int(digits) if digits else None


def _bootstrap(
    measure: Callable[[NDArray[np.intp]], dict[str, float] | None], groups: NDArray[Any]
) -> dict[str, Interval]:
    from pipelines.lab.measures import bootstrap

    return bootstrap(measure, groups, DRAWS, SEED)


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Twice what two regions share by the sum of both, 0..1 (Dice 1945); 1 where both are empty.

    Parameters
    ----------
    first, second
        Of the same shape.
    """
    both = int(first.sum()) + int(second.sum())
    return 1.0 if both == 0 else 2 * int((first & second).sum()) / both


def rmse(first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
    """Root mean square of the differences of two volumes of the same shape, in their unit."""
    difference = second.astype(np.float64) - first.astype(np.float64)
    return math.sqrt(float(np.mean(difference**2)))
