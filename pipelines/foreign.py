"""How foreign a case is: its distance from the known cases, and what share of them is at least as far off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mahalanobis(features: Array, mean: Array, whiten: Array) -> Array:
    """Mahalanobis distance of features from known cases, for one feature: about 1 for a known case.

    Parameters
    ----------
    features
        (N, F).
    mean
        (F,) of known cases.
    whiten
        (F, F): ``(features - mean) @ whiten`` has unit covariance among known cases.

    Returns
    -------
    Array
        (N,).
    """
    return np.asarray(np.sqrt(np.square((features - mean) @ whiten).mean(1)))


def conformal_p_value(ascending: Array, values: Array) -> Array:
    """Share (N,) of held-out known cases that are at least as foreign: (1 + those) / (1 + all of them).

    Parameters
    ----------
    ascending
        (K,) how foreign the held-out known cases are, ascending.
    values
        (N,) how foreign the cases in question are.
    """
    further = len(ascending) - np.searchsorted(ascending, values, side="left")
    return np.asarray((1 + further) / (1 + len(ascending)))
