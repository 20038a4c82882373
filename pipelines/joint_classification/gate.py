"""Abstaining: whether an image is like the known cases at all, and whether the answer is clear enough to be given.

Distance is Mahalanobis's, over the mean and spread of every channel of every encoder stage and over how well the
decoder draws the image again. It becomes a conformal p-value: the share of held-out known cases that lie at least as
far off. Entropy of the calibrated probabilities decides the second question. Both limits come from held-out known
cases, never from the foreign ones that the gate is measured on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

Array = NDArray[np.float64]

FOREIGN_SHARE = 0.03  # of known cases that may be refused as foreign
UNCERTAIN_SHARE = 0.01  # and as uncertain: together under the 5 % that a clinic would stand
MARGIN = 1e-4  # relative, on limits: a case on the limit is refused on no machine and accepted on no other


@dataclass(frozen=True)
class Gate:
    """What known cases look like."""

    mean: Array  # (F,)
    whiten: Array  # (F, F): (features - mean) @ whiten has unit covariance among known cases
    calibration: Array  # (K,): distances of held-out known cases, ascending

    @classmethod
    def fit(cls, known: Array, held_out: Array) -> Gate:
        """Learn from features of known cases (N, F), and how far off others of the same kind (K, F) lie."""
        mean, spread = known.mean(0), known.std(0) + 1e-6
        covariance = LedoitWolf(assume_centered=True).fit((known - mean) / spread).covariance_
        values, vectors = np.linalg.eigh(covariance)
        whiten = (vectors / np.sqrt(values)) / spread[:, None]
        gate = cls(mean, whiten, np.empty(0))
        return cls(mean, whiten, np.sort(gate.distance(held_out)))

    def distance(self, features: Array) -> Array:
        """Mahalanobis distance per feature, (N,): about 1 for a known case."""
        return np.asarray(np.sqrt(np.square((features - self.mean) @ self.whiten).mean(1)))

    def p_value(self, features: Array) -> Array:
        """(1 + held-out known cases at least as far off) / (1 + all of them): (N, F) -> (N,)."""
        further = len(self.calibration) - np.searchsorted(self.calibration, self.distance(features), side="left")
        return np.asarray((1 + further) / (1 + len(self.calibration)))

    def arrays(self) -> dict[str, Array]:
        """For the bundle."""
        return {"mean": self.mean, "whiten": self.whiten, "calibration": self.calibration}

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Gate:
        """From the bundle."""
        return cls(arrays["mean"], arrays["whiten"], arrays["calibration"])


def entropy(probabilities: Array) -> Array:
    """(N, C) -> (N,), divided by log C: 0 certain, 1 knows nothing."""
    safe = np.clip(probabilities, 1e-12, 1.0)
    return np.asarray(-(safe * np.log(safe)).sum(1) / np.log(probabilities.shape[1]))


def entropy_limit(probabilities: Array, share: float = UNCERTAIN_SHARE) -> float:
    """The entropy that `share` of held-out known cases (N, C) exceed."""
    return float(np.quantile(entropy(probabilities), 1 - share)) * (1 + MARGIN)
