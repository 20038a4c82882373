"""The trained classifier as the pipeline uses it: load it, ask it, and learn why it abstains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Classification:
    """What the network and its gate say of N images; one row per image, classes in the order of `simulate.CLASSES`."""

    probabilities: Array  # (N, 3), calibrated; rows add to 1
    intervals: Array  # (N, 3, 2): lower and upper end of each probability's 90 % interval
    entropy: Array  # (N,), of `probabilities`, divided by log 3: 0 certain, 1 knows nothing
    reconstruction_error: Array  # (N,), mean square error of the drawing, on the normalised image
    p_value: Array  # (N,), conformal: share of known cases at least as far off; small is foreign
    position: Array  # (N, 2), in the latent map

    def __len__(self) -> int:
        return len(self.entropy)

    def take(self, index: NDArray[np.int64]) -> Classification:
        """The images at `index`, in that order."""
        return Classification(
            self.probabilities[index],
            self.intervals[index],
            self.entropy[index],
            self.reconstruction_error[index],
            self.p_value[index],
            self.position[index],
        )


@dataclass(frozen=True)
class Verdict:
    """Whether the three classes may be spoken of at all."""

    determined: bool
    reason: Literal["", "foreign", "uncertain"]  # foreign: not like the known cases; uncertain: like several classes
    sentence: str  # for the radiologist, with the figures behind it; "" where determined


@dataclass(frozen=True)
class Neighbour:
    """A known case near the new one in the latent space."""

    identifier: str  # of the case in the bundle, e.g. "S-0412"
    condition: str  # one of `simulate.CLASSES`
    distance: float  # in the latent space, in units of the median distance between known neighbours
    severity: float  # 0..1, as simulated


@dataclass(frozen=True)
class Background:
    """The known cases behind the latent map."""

    positions: Array  # (K, 2)
    conditions: NDArray[np.int64]  # (K,) index into `simulate.CLASSES`


class Model:
    """A trained network with its calibration, gate and map. Thread-safe once loaded; uses no randomness."""

    dimensions: Literal[2, 3]
    background: Background
    likelihood_ratios: dict[str, tuple[float, float, float]]  # class -> positive LR and its 95 % interval, as measured
    trained_on: str  # one sentence for the reader
    heat_method: str  # of `attention`, as it passed the sanity check, e.g. "Grad-CAM++"

    def classify(self, images: NDArray[np.float32]) -> Classification:
        """Ask the network and the gate.

        Parameters
        ----------
        images
            2-D: (N, H, W) grey values in 0..1, any size: resized and normalised here. 3-D: (N, D, H, W) density,
            resized, masked and normalised here.
        """
        raise NotImplementedError

    def combine(self, classification: Classification, weight: Array) -> Classification:
        """One row for several images of one joint: votes of (N,) non-negative weights, interval from their spread."""
        raise NotImplementedError

    def verdict(self, classification: Classification) -> Verdict:
        """Determined or not, for a classification of one row."""
        raise NotImplementedError

    def attention(self, image: NDArray[np.float32], condition: int) -> NDArray[np.float32]:
        """Where the network looked for class number `condition`: same shape as `image` ((H, W) or (D, H, W)), 0..1."""
        raise NotImplementedError

    def neighbours(self, image: NDArray[np.float32], number: int = 5) -> tuple[Neighbour, ...]:
        """The known cases nearest to one image, nearest first."""
        raise NotImplementedError


def load(dimensions: Literal[2, 3]) -> Model:
    """The shipped model for images (2) or volumes (3); of the bundle in this package.

    Raises
    ------
    UnsuitableInput
        If there is no such bundle, in words.
    """
    raise NotImplementedError


def digest() -> str:
    """SHA-256 of all weights files of the bundle together, hex; without loading them, and without torch."""
    raise NotImplementedError
