"""Log odds and back.

`scipy.special` has both, but differs from these forms in the last bit (`logit` for every fifth value), and results stay
the same byte for byte between versions of this code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FLOOR = 1e-6  # probabilities are kept this far away from 0 and 1, where log odds have no end


def logit(probability: Floats) -> Floats:
    """The log odds of probabilities of any shape."""
    p = np.clip(probability, FLOOR, 1 - FLOOR)
    return np.log(p / (1 - p))


def expit(log_odds: Floats) -> Floats:
    """The probabilities of log odds of any shape."""
    return 1 / (1 + np.exp(-log_odds))
