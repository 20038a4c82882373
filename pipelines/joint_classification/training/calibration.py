"""The calibration, fitted on held-out cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtri, softmax

from pipelines.joint_classification.calibration import ClassCalibration, log_odds
from pipelines.joint_classification.gate import entropy

Array = NDArray[np.float64]

LEVEL = 0.9  # nominal coverage of the intervals
BINS = 4  # of entropy, each with an interval width of its own
FEWEST = 30  # cases that a bin must hold
SPREAD_95 = float(ndtri(0.975))  # standard deviations either side that hold 95 % of a Gaussian


def fit_temperature(logits: Array, labels: NDArray[np.int64]) -> tuple[float, Array]:
    """Temperature and bias with the greatest likelihood on held-out (N, C) logits; the biases add to 0."""
    classes = logits.shape[1]

    def loss(free: Array) -> float:
        bias = np.append(free[1:], -free[1:].sum())
        p = softmax(logits / np.exp(free[0]) + bias, axis=1)
        return float(-np.log(np.clip(p[np.arange(len(labels)), labels], 1e-12, None)).mean() + 1e-3 * free @ free)

    free = minimize(loss, np.zeros(classes), method="L-BFGS-B").x
    return float(np.exp(free[0])), np.append(free[1:], -free[1:].sum())


def fit_calibration(logits: Array, labels: NDArray[np.int64], rescans: Array) -> ClassCalibration:
    """Fit temperature, bias and interval widths.

    Parameters
    ----------
    logits
        (N, C) of held-out cases.
    labels
        (N,) their classes.
    rescans
        (J, R, C) logits of R scans of each of J held-out joints: the anatomy is the same, the scans are not. A
        half-width is the conformal 90 % quantile of how far the log-odds of one scan lie from those of the mean
        probability of the others, in its bin of entropy.
    """
    temperature, bias = fit_temperature(logits, labels)
    plain = ClassCalibration(temperature, bias, np.empty(0), np.zeros(1))
    joints, repeats, classes = rescans.shape
    p = plain.probabilities(rescans.reshape(-1, classes)).reshape(joints, repeats, classes)
    others = (p.sum(1, keepdims=True) - p) / (repeats - 1)
    off = np.abs(log_odds(p) - log_odds(others)).reshape(-1, classes)
    doubt = entropy(p.reshape(-1, classes))
    bins = min(BINS, max(1, joints * repeats // FEWEST))
    edges = np.quantile(doubt, np.linspace(0, 1, bins + 1)[1:-1])
    which = np.digitize(doubt, edges)
    half = np.array([_conformal(off[which == number].ravel()) for number in range(bins)])
    return ClassCalibration(temperature, bias, edges, half)


def _conformal(scores: Array) -> float:
    n = len(scores)
    return float(np.quantile(scores, min(1.0, np.ceil((n + 1) * LEVEL) / n), method="higher"))


def positive_likelihood_ratio(positive: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Sensitivity / (1 - specificity) with its 95 % interval (Simel, J Clin Epidemiol 1991;44:763).

    Half a case is added to every cell, so that a perfect table has a finite ratio.
    """
    tp, fp = (positive & truth).sum() + 0.5, (positive & ~truth).sum() + 0.5
    sick, well = truth.sum() + 1.0, (~truth).sum() + 1.0
    ratio = float((tp / sick) / (fp / well))
    spread = float(np.sqrt(1 / tp - 1 / sick + 1 / fp - 1 / well))
    return ratio, ratio * float(np.exp(-SPREAD_95 * spread)), ratio * float(np.exp(SPREAD_95 * spread))
