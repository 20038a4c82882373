"""Abstaining: whether an image is like the known cases at all, and whether the answer is clear enough to be given.

Two or three things make an image foreign. First, its Mahalanobis distance from the known cases, over the mean and
spread of every channel of every encoder stage and over how well the decoder draws the image again. Second, the
network's own "none of these", which it learned from disturbed pictures. Third, on ultrasound only, the signs of two
other diseases (`signs`). Each is ranked among held-out known cases. The worst rank counts and becomes a conformal
p-value: the share of held-out known cases that are at least as foreign. The entropy of the calibrated probabilities
decides the second question. Both limits come from held-out known cases, never from the foreign ones that the gate is
measured on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.foreign import conformal_p_value, mahalanobis

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gate:
    """What known cases look like."""

    mean: Array  # (F,)
    whiten: Array  # (F, F): (features - mean) @ whiten has unit covariance among known cases
    far: Array  # (K,): distances of held-out known cases, ascending
    strange: Array  # (K,): their logits of "none of these", ascending
    signs: Array  # (S, K): how strong each sign is in them, ascending; S = 0 where there are none
    worst: Array  # (K,): the largest rank of each, ascending

    def distance(self, features: Array) -> Array:
        """Mahalanobis distance (N,) of features (N, F), for one feature: about 1 for a known case."""
        return mahalanobis(features, self.mean, self.whiten)

    def rank(self, features: Array, foreign: Array, signs: Array | None = None) -> Array:
        """How many held-out known cases are less foreign.

        The largest of the ranks by distance, by the network's own answer and by each sign. What lies beyond all known
        cases ranks beyond K, by how much, so that foreign images keep an order.

        Parameters
        ----------
        features
            (N, F).
        foreign
            (N,) logits of "none of these".
        signs
            (S, N) strength of each sign.

        Returns
        -------
        Array
            (N,).
        """
        ranks = [_rank(self.far, self.distance(features)), _rank(self.strange, foreign)]
        if len(self.signs) and signs is not None:
            ranks += [_rank(known, values) for known, values in zip(self.signs, signs, strict=True)]
        return np.asarray(np.maximum.reduce(ranks))

    def p_value(self, features: Array, foreign: Array, signs: Array | None = None) -> Array:
        """Conformal p-value: (1 + held-out known cases at least as foreign) / (1 + all of them).

        Parameters
        ----------
        features
            (N, F).
        foreign
            (N,) logits of "none of these".
        signs
            (S, N) strength of each sign.

        Returns
        -------
        Array
            (N,).
        """
        return conformal_p_value(self.worst, self.rank(features, foreign, signs))

    def arrays(self) -> dict[str, Array]:
        """The arrays that the bundle stores, by name."""
        return {
            "mean": self.mean,
            "whiten": self.whiten,
            "far": self.far,
            "strange": self.strange,
            "signs": self.signs,
            "worst": self.worst,
        }

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Gate:
        """The gate that a bundle's arrays hold."""
        far = arrays["far"]
        signs = arrays.get("signs", np.empty((0, len(far))))
        return cls(arrays["mean"], arrays["whiten"], far, arrays["strange"], signs, arrays["worst"])


def _rank(ascending: Array, values: Array) -> Array:
    """Place among `ascending` (K,), between neighbours by proportion; beyond the last by the distance from it."""
    inside = np.interp(values, ascending, np.arange(len(ascending), dtype=float))
    spread = max(float(np.ptp(ascending)), 1e-9)
    return np.asarray(inside + np.clip(values - ascending[-1], 0, None) / spread)


def entropy(probabilities: Array) -> Array:
    """Entropy (N,) of probabilities (N, C) over log C: 0 is certain, 1 knows nothing."""
    safe = np.clip(probabilities, 1e-12, 1.0)
    return np.asarray(-(safe * np.log(safe)).sum(1) / np.log(probabilities.shape[1]))
