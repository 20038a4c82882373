"""Probabilities that mean what they say, intervals for them, and likelihood ratios: all from held-out cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pipelines.joint_classification.gate import entropy

Array = NDArray[np.float64]

LEVEL = 0.9  # nominal coverage of the intervals
BINS = 4  # of entropy, each with an interval width of its own
FLOOR = 1e-3  # of a probability: some thousand calibration cases cannot vouch for less
FEWEST = 30  # cases that a bin must hold
Z = 1.96


def softmax(logits: Array) -> Array:
    """(N, C) -> (N, C), rows adding to 1."""
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def log_odds(probabilities: Array) -> Array:
    """Of each class against the rest, any shape."""
    safe = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(safe / (1 - safe)))


def probability(odds: Array) -> Array:
    """The inverse of `log_odds`."""
    return np.asarray(1 / (1 + np.exp(-odds)))


@dataclass(frozen=True)
class Calibration:
    """Temperature and bias of the logits, and half-widths of the intervals."""

    temperature: float
    bias: Array  # (C,)
    edges: Array  # (B - 1,): inner edges of the entropy bins
    half_width: Array  # (B,): in log-odds

    def probabilities(self, logits: Array) -> Array:
        """Calibrated, (N, C); none below FLOOR."""
        return np.asarray(FLOOR + (1 - logits.shape[1] * FLOOR) * softmax(logits / self.temperature + self.bias))

    def width(self, probabilities: Array) -> Array:
        """Half-width of each row's intervals in log-odds, (N,)."""
        return np.asarray(self.half_width[np.digitize(entropy(probabilities), self.edges)])

    def intervals(self, probabilities: Array) -> Array:
        """90 % intervals, (N, C, 2): where the probability lies on average over scans of the same joint."""
        odds, width = log_odds(probabilities), self.width(probabilities)[:, None]
        return np.stack([probability(odds - width), probability(odds + width)], axis=2)

    def arrays(self) -> dict[str, Array]:
        """For the bundle."""
        return {
            "temperature": np.array([self.temperature]),
            "bias": self.bias,
            "edges": self.edges,
            "half_width": self.half_width,
        }

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Calibration:
        """From the bundle."""
        return cls(float(arrays["temperature"][0]), arrays["bias"], arrays["edges"], arrays["half_width"])


def fit_temperature(logits: Array, labels: NDArray[np.int64]) -> tuple[float, Array]:
    """Temperature and bias with the greatest likelihood on held-out (N, C) logits; the biases add to 0."""
    classes = logits.shape[1]

    def loss(free: Array) -> float:
        bias = np.append(free[1:], -free[1:].sum())
        p = softmax(logits / np.exp(free[0]) + bias)
        return float(-np.log(np.clip(p[np.arange(len(labels)), labels], 1e-12, None)).mean() + 1e-3 * free @ free)

    free = minimize(loss, np.zeros(classes), method="L-BFGS-B").x
    return float(np.exp(free[0])), np.append(free[1:], -free[1:].sum())


def fit(logits: Array, labels: NDArray[np.int64], rescans: Array) -> Calibration:
    """All of it.

    Parameters
    ----------
    logits, labels
        (N, C) and (N,), of held-out cases.
    rescans
        (J, R, C): logits of R scans of each of J held-out joints, the anatomy the same, the scans not. A half-width
        is the conformal 90 % quantile of how far one scan's log-odds lie from those of the mean of the other scans'
        probabilities, in its bin of entropy.
    """
    temperature, bias = fit_temperature(logits, labels)
    plain = Calibration(temperature, bias, np.empty(0), np.zeros(1))
    joints, repeats, classes = rescans.shape
    p = plain.probabilities(rescans.reshape(-1, classes)).reshape(joints, repeats, classes)
    others = (p.sum(1, keepdims=True) - p) / (repeats - 1)
    off = np.abs(log_odds(p) - log_odds(others)).reshape(-1, classes)
    doubt = entropy(p.reshape(-1, classes))
    bins = min(BINS, max(1, joints * repeats // FEWEST))
    edges = np.quantile(doubt, np.linspace(0, 1, bins + 1)[1:-1])
    which = np.digitize(doubt, edges)
    half = np.array([_conformal(off[which == number].ravel()) for number in range(bins)])
    return Calibration(temperature, bias, edges, half)


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
    return ratio, ratio * float(np.exp(-Z * spread)), ratio * float(np.exp(Z * spread))


def expected_calibration_error(probabilities: Array, labels: NDArray[np.int64], bins: int = 10) -> float:
    """Mean distance between confidence and accuracy over bins of confidence, weighted by how many fall there."""
    return sum(abs(sure - right) * share for sure, right, share in reliability(probabilities, labels, bins))


def reliability(probabilities: Array, labels: NDArray[np.int64], bins: int = 10) -> list[tuple[float, float, float]]:
    """Mean confidence, accuracy and share of the cases of each bin of confidence that is not empty."""
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    which = np.minimum((sure * bins).astype(int), bins - 1)
    return [
        (float(sure[which == b].mean()), float(right[which == b].mean()), float((which == b).mean()))
        for b in range(bins)
        if (which == b).any()
    ]
