"""Measures that several pipelines report: calibration, agreement of grades, ranking, and intervals by bootstrap.

Scikit-learn has what is measured on cases one by one; what stands here has rules of its own, such as bins or patients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score, recall_score, roc_auc_score

Array = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]
LEVEL = 0.95  # of an interval


class Bin(NamedTuple):
    """The cases whose confidence is about the same."""

    confidence: float  # mean
    right: float  # share
    cases: int


def reliability(confidence: Array, right: NDArray[np.bool_], bins: int = 10) -> list[Bin]:
    """How often an answer is right, by how sure it was: one row for each bin that is not empty.

    Parameters
    ----------
    confidence
        (N,) probability of the answer, 0..1.
    right
        (N,) whether it is right.
    bins
        Number of bins of confidence, of equal width.
    """
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        Bin(float(confidence[which == b].mean()), float(right[which == b].mean()), int((which == b).sum()))
        for b in np.unique(which)
    ]


def expected_calibration_error(confidence: Array, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean distance between confidence and share of right answers over the bins, weighted by their cases (Naeini 2015).

    Parameters
    ----------
    confidence, right, bins
        As of `reliability`.
    """
    rows = reliability(confidence, right, bins)
    return sum(abs(row.confidence - row.right) * (row.cases / len(confidence)) for row in rows)


def likeliest(probabilities: Array, labels: NDArray[np.integer[Any]]) -> tuple[Array, NDArray[np.bool_]]:
    """Confidence in the likeliest class, and whether it is the true one: (N,) each, from (N, C) and (N,)."""
    return probabilities.max(axis=1), np.asarray(probabilities.argmax(axis=1) == labels)


def quadratic_weighted_kappa(truth: Array, grade: Array, maximum: int) -> float:
    """Agreement of whole grades beyond chance, disagreements weighted by their square (Cohen 1968).

    Parameters
    ----------
    truth, grade
        (N,) true and read grades, 0..maximum; both are rounded, and what is read beyond the scale is brought to its
        end.
    maximum
        Highest grade.

    Returns
    -------
    float
        At most 1; nan where both have one grade only, the same.
    """
    true, read = np.rint(truth).astype(int), np.clip(np.rint(grade), 0, maximum).astype(int)
    if len(np.unique(np.concatenate([true, read]))) < 2:
        return float("nan")
    return float(cohen_kappa_score(true, read, labels=np.arange(maximum + 1), weights="quadratic"))


def balanced_accuracy(truth: Array, grade: Array) -> float:
    """Share of the (N,) grades that were read exactly, averaged over the true grades; both are rounded."""
    true, read = np.rint(truth).astype(int), np.rint(grade).astype(int)
    return float(recall_score(true, read, labels=np.unique(true), average="macro", zero_division=0))


def auroc_between(inside: Sequence[float] | Array, outside: Sequence[float] | Array) -> float:
    """The chance that something outside scores higher than something inside; ties count half."""
    truth = np.repeat([0, 1], [len(inside), len(outside)])
    return float(roc_auc_score(truth, np.concatenate([inside, outside])))


def resamples(groups: NDArray[Any], draws: int, seed: int = 0) -> Iterator[Rows]:
    """Rows of bootstrap samples; whole groups are drawn, with replacement.

    Parameters
    ----------
    groups
        (N,) group of each row, such as its patient; `numpy.arange(N)` draws rows.
    draws
        Number of samples.
    seed
        Of the samples.
    """
    which = np.unique(groups, return_inverse=True)[1]
    order = np.argsort(which, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(which[order])) + 1)
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.concatenate([members[one] for one in rng.integers(0, len(members), len(members))])


def bootstrap(
    measure: Callable[[Rows], Mapping[str, float] | None],
    groups: NDArray[Any],
    draws: int = 200,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, tuple[float, float]]:
    """Interval of each of some figures, by drawing whole groups with replacement.

    Parameters
    ----------
    measure
        The figures of some rows; None where they cannot be measured, as when a class is missing: then the sample is
        left out.
    groups
        (N,) group of each row, such as its patient; `numpy.arange(N)` draws rows.
    draws
        Number of samples.
    seed
        Of the samples.
    level
        Share of the samples that an interval holds.

    Raises
    ------
    ValueError
        If nothing can be measured on any sample.
    """
    found = [row for row in map(measure, resamples(groups, draws, seed)) if row is not None]
    if not found:
        raise ValueError("too few cases: no sample of them can be measured")
    ends = (1 - level) / 2, (1 + level) / 2
    return {name: _interval([row[name] for row in found], ends) for name in found[0]}


def _interval(values: Sequence[float], ends: tuple[float, float]) -> tuple[float, float]:
    low, high = np.quantile(values, ends)
    return float(low), float(high)
