"""Measures of a risk under censoring and competing death; weights of inverse probability of being still seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.metrics import average_precision_score

from pipelines.knee_oa_risk.odds import expit, logit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def censoring_weights(time: Floats, status: Ints, horizon: float) -> tuple[Floats, Bools]:
    """Weight (N,) and case flag (N,) of each person at `horizon` years.

    A person who left before the horizon without an event weighs nothing; the others stand in for them with one over the
    Kaplan-Meier probability of still being seen (Graf 1999, doi 10.1002/(SICI)1097-0258(19990915)18:17/18<2529).
    Who died before the horizon is known not to have become a case.

    Parameters
    ----------
    time
        (N,): years to whatever came first.
    status
        (N,): 0 left, 1 knee osteoarthritis, 2 died.
    horizon
        Years.
    """
    known = (status > 0) | (time >= horizon)
    seen = _still_seen(time, status, np.minimum(time, horizon))
    return np.where(known, 1.0 / np.maximum(seen, 1e-3), 0.0), (status == 1) & (time <= horizon)


def _still_seen(time: Floats, status: Ints, at: Floats) -> Floats:
    """Kaplan-Meier probability of not having left just before `at`, (N,)."""
    order = np.argsort(time, kind="stable")
    left = status[order] == 0
    at_risk = np.arange(len(time), 0, -1)
    curve = np.cumprod(1.0 - left / at_risk)
    place = np.searchsorted(time[order], at, side="left")
    return np.where(place > 0, curve[np.maximum(place - 1, 0)], 1.0)


def auroc(risk: Floats, case: Bools, weight: Floats) -> float:
    """Weighted area under the receiver operating curve; ties count half.

    Parameters
    ----------
    risk
        (N,), 0..1.
    case
        (N,): who became a case by the horizon.
    weight
        (N,): as `censoring_weights` gives them.
    """
    values, place = np.unique(risk, return_inverse=True)
    positive = np.bincount(place, weight * case, minlength=len(values))
    negative = np.bincount(place, weight * ~case, minlength=len(values))
    below = np.cumsum(negative) - negative
    return float((positive * (below + 0.5 * negative)).sum() / (positive.sum() * negative.sum()))


def auprc(risk: Floats, case: Bools, weight: Floats) -> float:
    """Weighted average precision.

    Parameters
    ----------
    risk
        (N,), 0..1.
    case
        (N,): who became a case by the horizon.
    weight
        (N,): as `censoring_weights` gives them.
    """
    return float(average_precision_score(case, risk, sample_weight=weight))


def brier(risk: Floats, case: Bools, weight: Floats) -> float:
    """Weighted mean squared difference of risk and outcome.

    Parameters
    ----------
    risk
        (N,), 0..1.
    case
        (N,): who became a case by the horizon.
    weight
        (N,): as `censoring_weights` gives them.
    """
    return float(np.average((risk - case) ** 2, weights=weight))


def calibration_fit(risk: Floats, case: Bools, weight: Floats) -> tuple[float, float]:
    """Intercept and slope of a logistic regression of the outcome on the logit of the risk; (0, 1) is perfect.

    Parameters
    ----------
    risk
        (N,), 0..1.
    case
        (N,): who became a case by the horizon.
    weight
        (N,): as `censoring_weights` gives them.
    """
    x = logit(risk)

    def loss(ab: Floats) -> tuple[float, Floats]:
        z = ab[0] + ab[1] * x
        error = weight * (expit(z) - case)
        value = float((weight * (np.logaddexp(0.0, z) - case * z)).sum())
        return value / weight.sum(), np.array([error.sum(), (error * x).sum()]) / weight.sum()

    found = minimize(loss, np.array([0.0, 1.0]), jac=True, method="BFGS")
    return float(found.x[0]), float(found.x[1])


def in_the_large(risk: Floats, case: Bools, weight: Floats) -> float:
    """Observed over expected number of cases.

    Parameters
    ----------
    risk
        (N,), 0..1.
    case
        (N,): who became a case by the horizon.
    weight
        (N,): as `censoring_weights` gives them.
    """
    return float((weight * case).sum() / (weight * risk).sum())


def net_benefit(risk: Floats, case: Bools, weight: Floats, threshold: float) -> float:
    """Net benefit per person of acting where the risk reaches `threshold` (Vickers 2006).

    Parameters
    ----------
    risk
        (N,), 0..1.
    case
        (N,): who became a case by the horizon.
    weight
        (N,): as `censoring_weights` gives them.
    threshold
        Risk from which one would act, 0..1.
    """
    act = risk >= threshold
    total = weight.sum()
    gain = (weight * (act & case)).sum() / total
    harm = (weight * (act & ~case)).sum() / total
    return float(gain - harm * threshold / (1 - threshold))


def reliability(risk: Floats, case: Bools, weight: Floats, bins: int = 10) -> list[tuple[float, float, int]]:
    """Mean risk, observed share and number of people in bins of equal size.

    Parameters
    ----------
    risk
        (N,), 0..1.
    case
        (N,): who became a case by the horizon.
    weight
        (N,): as `censoring_weights` gives them.
    bins
        How many.
    """
    edges = np.quantile(risk, np.linspace(0, 1, bins + 1)[1:-1])
    place = np.searchsorted(edges, risk, side="right")
    rows = []
    for number in range(bins):
        mine = (place == number) & (weight > 0)
        if mine.any():
            shares = weight[mine]
            rows.append(
                (
                    float(np.average(risk[mine], weights=shares)),
                    float(np.average(case[mine], weights=shares)),
                    int(mine.sum()),
                )
            )
    return rows
