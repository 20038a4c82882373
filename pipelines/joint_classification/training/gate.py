"""Fits the gate and its limits on known cases alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipelines.joint_classification.gate import Gate, entropy
from pipelines.lab.whitening import whitening

Array = NDArray[np.float64]

FOREIGN_SHARE = 0.02  # of known cases that may be refused as foreign
UNCERTAIN_SHARE = 0.01  # and as uncertain: together under the 5 % that a clinic would accept
MARGIN = 1e-4  # relative, on limits: a case on the limit is refused on no machine and accepted on no other


def fit_gate(known: Array, held_out: Array, foreign: Array, signs: Array | None = None) -> Gate:
    """Learn what known cases look like, and how foreign other cases of the same kind are.

    Parameters
    ----------
    known
        (N, F) features of known cases.
    held_out
        (K, F) features of other known cases.
    foreign
        (K,) logits of "none of these" of the held-out cases.
    signs
        (S, K) strength of each sign in the held-out cases; None where there are none.
    """
    mean, whiten = whitening(known)
    none, seen = np.empty(0), np.empty((0, len(foreign))) if signs is None else signs
    far = np.sort(Gate(mean, whiten, none, none, seen, none).distance(held_out))
    ranked = Gate(mean, whiten, far, np.sort(foreign), np.sort(seen, axis=1), none)
    return replace(ranked, worst=np.sort(ranked.rank(held_out, foreign, seen)))


def entropy_limit(probabilities: Array, share: float = UNCERTAIN_SHARE) -> float:
    """The entropy that `share` of held-out known cases (N, C) exceed."""
    return float(np.quantile(entropy(probabilities), 1 - share)) * (1 + MARGIN)
