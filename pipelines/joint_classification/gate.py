"""Abstaining: whether an image is like the known cases at all, and whether the answer is clear enough to be given.

Two things make an image foreign: its Mahalanobis distance from the known cases, over the mean and spread of every
channel of every encoder stage and over how well the decoder draws the image again; and the network's own "none of
these", which it learnt from disturbed pictures. Each is ranked among held-out known cases, the worse rank counts, and
becomes a conformal p-value: the share of held-out known cases that are at least as foreign. Entropy of the calibrated
probabilities decides the second question. Both limits come from held-out known cases, never from the foreign ones that
the gate is measured on.
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
    far: Array  # (K,): distances of held-out known cases, ascending
    strange: Array  # (K,): their logits of "none of these", ascending
    worst: Array  # (K,): the larger of the two ranks of each, ascending

    @classmethod
    def fit(cls, known: Array, held_out: Array, foreign: Array) -> Gate:
        """Learn from known cases, and how foreign others of the same kind are.

        Parameters
        ----------
        known
            Features (N, F).
        held_out, foreign
            Features (K, F) of other known cases, and their logits (K,) of "none of these".
        """
        mean, spread = known.mean(0), known.std(0) + 1e-6
        covariance = LedoitWolf(assume_centered=True).fit((known - mean) / spread).covariance_
        values, vectors = np.linalg.eigh(covariance)
        whiten = (vectors / np.sqrt(values)) / spread[:, None]
        none = np.empty(0)
        far = np.sort(cls(mean, whiten, none, none, none).distance(held_out))
        ranked = cls(mean, whiten, far, np.sort(foreign), none)
        return cls(mean, whiten, far, ranked.strange, np.sort(ranked.rank(held_out, foreign)))

    def distance(self, features: Array) -> Array:
        """Mahalanobis distance per feature, (N,): about 1 for a known case."""
        return np.asarray(np.sqrt(np.square((features - self.mean) @ self.whiten).mean(1)))

    def rank(self, features: Array, foreign: Array) -> Array:
        """How many held-out known cases are less far off, or less strange, whichever is more: (N,), 0 to K.

        What is farther or stranger than all of them ranks beyond, by how much, so that foreign images keep an order.
        """
        return np.maximum(_rank(self.far, self.distance(features)), _rank(self.strange, foreign))

    def p_value(self, features: Array, foreign: Array) -> Array:
        """(1 + held-out known cases at least as foreign) / (1 + all of them): (N, F) and (N,) -> (N,)."""
        further = len(self.worst) - np.searchsorted(self.worst, self.rank(features, foreign), side="left")
        return np.asarray((1 + further) / (1 + len(self.worst)))

    def arrays(self) -> dict[str, Array]:
        """For the bundle."""
        return {
            "mean": self.mean,
            "whiten": self.whiten,
            "far": self.far,
            "strange": self.strange,
            "worst": self.worst,
        }

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Gate:
        """From the bundle."""
        return cls(*(arrays[name] for name in ("mean", "whiten", "far", "strange", "worst")))


def _rank(ascending: Array, values: Array) -> Array:
    """Place among `ascending` (K,), between neighbours by proportion; beyond the last by the distance from it."""
    inside = np.interp(values, ascending, np.arange(len(ascending), dtype=float))
    spread = max(float(np.ptp(ascending)), 1e-9)
    return np.asarray(inside + np.clip(values - ascending[-1], 0, None) / spread)


def entropy(probabilities: Array) -> Array:
    """(N, C) -> (N,), divided by log C: 0 certain, 1 knows nothing."""
    safe = np.clip(probabilities, 1e-12, 1.0)
    return np.asarray(-(safe * np.log(safe)).sum(1) / np.log(probabilities.shape[1]))


def entropy_limit(probabilities: Array, share: float = UNCERTAIN_SHARE) -> float:
    """The entropy that `share` of held-out known cases (N, C) exceed."""
    return float(np.quantile(entropy(probabilities), 1 - share)) * (1 + MARGIN)
