"""How well confidence matches accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def expected_calibration_error(probabilities: Array, labels: NDArray[np.int64], bins: int = 10) -> float:
    """Mean distance between confidence and accuracy over bins of confidence, weighted by their share of cases.

    Parameters
    ----------
    probabilities
        (N, C).
    labels
        (N,) true classes.
    bins
        Number of bins of confidence, of equal width.
    """
    return sum(abs(sure - right) * share for sure, right, share in reliability(probabilities, labels, bins))


def reliability(probabilities: Array, labels: NDArray[np.int64], bins: int = 10) -> list[tuple[float, float, float]]:
    """Mean confidence, accuracy and share of the cases of each bin of confidence that is not empty.

    Parameters
    ----------
    probabilities
        (N, C).
    labels
        (N,) true classes.
    bins
        Number of bins of confidence, of equal width.
    """
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    which = np.minimum((sure * bins).astype(int), bins - 1)
    return [
        (float(sure[which == b].mean()), float(right[which == b].mean()), float((which == b).mean()))
        for b in range(bins)
        if (which == b).any()
    ]
