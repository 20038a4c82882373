"""Calibrated probabilities and the intervals round them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from pipelines.joint_classification.gate import entropy

Array = NDArray[np.float64]

FLOOR = 1e-3  # of a probability: some thousand calibration cases cannot vouch for less


# `scipy.special.logit` and `expit` differ from these two in the last bit of a fifth and of a fiftieth of all numbers.
# These stay, so that the same image gives the same report, byte for byte.
def log_odds(probabilities: Array) -> Array:
    """Log-odds of each class against the rest, any shape."""
    safe = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(safe / (1 - safe)))


def probability(odds: Array) -> Array:
    """The inverse of `log_odds`."""
    return np.asarray(1 / (1 + np.exp(-odds)))


@dataclass(frozen=True)
class ClassCalibration:
    """Temperature and bias of the logits, and half-widths of the intervals."""

    temperature: float
    bias: Array  # (C,)
    edges: Array  # (B - 1,): inner edges of the entropy bins
    half_width: Array  # (B,): in log-odds

    def probabilities(self, logits: Array) -> Array:
        """Calibrated probabilities (N, C) of logits (N, C); none is below `FLOOR`."""
        return np.asarray(
            FLOOR + (1 - logits.shape[1] * FLOOR) * softmax(logits / self.temperature + self.bias, axis=1)
        )

    def width(self, probabilities: Array) -> Array:
        """Half-width (N,), in log-odds, of the intervals of each row of probabilities (N, C)."""
        return np.asarray(self.half_width[np.digitize(entropy(probabilities), self.edges)])

    def intervals(self, probabilities: Array) -> Array:
        """90 % intervals (N, C, 2): where the probability lies on average over scans of the same joint."""
        odds, width = log_odds(probabilities), self.width(probabilities)[:, None]
        return np.stack([probability(odds - width), probability(odds + width)], axis=2)

    def arrays(self) -> dict[str, Array]:
        """The arrays that the bundle stores, by name."""
        return {
            "temperature": np.array([self.temperature]),
            "bias": self.bias,
            "edges": self.edges,
            "half_width": self.half_width,
        }

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> ClassCalibration:
        """The calibration that a bundle's arrays hold."""
        return cls(float(arrays["temperature"][0]), arrays["bias"], arrays["edges"], arrays["half_width"])
