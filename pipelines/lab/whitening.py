"""Mean and whitening of the features of known cases, from fewer cases than a plain covariance would need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

Array = NDArray[np.float64]


def whitening(known: Array, least_spread: float = 0.0) -> tuple[Array, Array]:
    """Learn what known cases look like, by a covariance that is shrunk as far as their number demands (Ledoit 2004).

    Parameters
    ----------
    known
        (N, F) features of known cases.
    least_spread
        Standard deviation that every feature is taken to have at least: one that hardly ever differs from zero among
        the known cases would otherwise make the first case in which it does infinitely foreign.

    Returns
    -------
    tuple
        Mean (F,) and (F, F) whitening, as `pipelines.foreign.mahalanobis` takes them.
    """
    mean, spread = known.mean(0), np.maximum(known.std(0) + 1e-6, least_spread)
    covariance = LedoitWolf(assume_centered=True).fit((known - mean) / spread).covariance_
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(mean), np.asarray((vectors / np.sqrt(values)) / spread[:, None])
