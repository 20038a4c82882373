"""The latent map: a fixed 2-D projection of the bottleneck with known cases on it, and the nearest of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

Array = NDArray[np.float64]

NEIGHBOUR_AXES = 16  # principal axes of the latent space in which neighbours are sought
DISCRIMINANT_AXES = 60  # principal axes among which those that part the classes are sought
KNOWN = 300  # cases shipped as the background


@dataclass(frozen=True)
class LatentMap:
    """Two fixed axes that part the classes best (Fisher's discriminant), and the known cases.

    A projection that is a matrix, rather than an embedding that is learnt anew, puts the same image at the same place
    for ever.
    """

    centre: Array  # (L,)
    axes: Array  # (L, 2)
    near: Array  # (L, A): to the space where neighbours are sought, whitened
    known: Array  # (K, A): the known cases in that space
    positions: Array  # (K, 2)
    conditions: NDArray[np.int64]  # (K,)
    severity: Array  # (K,), NaN where not known
    unit: float  # median distance of a known case to its nearest neighbour

    @classmethod
    def fit(cls, latent: Array, labels: NDArray[np.int64], severity: Array, known: NDArray[np.int64]) -> LatentMap:
        """From latent vectors (N, L) and classes of held-out cases; `known` says which of them are shipped."""
        centre = latent.mean(0)
        basis = _principal(latent - centre, min(DISCRIMINANT_AXES, max(2, len(latent) // 5)))
        fisher = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1, n_components=2)
        axes = basis @ fisher.fit((latent - centre) @ basis, labels).scalings_[:, :2]
        axes = axes / ((latent - centre) @ axes).std(0)
        near = _principal(latent - centre, NEIGHBOUR_AXES)
        chosen = (latent[known] - centre) @ near
        apart = np.linalg.norm(chosen[:, None] - chosen[None], axis=2)
        np.fill_diagonal(apart, np.inf)
        positions = (latent[known] - centre) @ axes
        unit = float(np.median(apart.min(1)))
        return cls(centre, axes, near, chosen, positions, labels[known], severity[known], unit)

    def place(self, latent: Array) -> Array:
        """Position on the map: (N, L) -> (N, 2)."""
        return np.asarray((latent - self.centre) @ self.axes)

    def nearest(self, latent: Array, number: int) -> tuple[NDArray[np.int64], Array]:
        """The known cases nearest to one latent vector (L,): their numbers, and distances in units of `unit`."""
        distance = np.linalg.norm(self.known - (latent - self.centre) @ self.near, axis=1) / self.unit
        order = np.argsort(distance, kind="stable")[:number]
        return order, distance[order]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """For the bundle."""
        return {
            "centre": self.centre,
            "axes": self.axes,
            "near": self.near,
            "known": self.known,
            "positions": self.positions,
            "conditions": self.conditions,
            "severity": self.severity,
            "unit": np.array([self.unit]),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> LatentMap:
        """From the bundle."""
        real = {name: np.asarray(value, np.float64) for name, value in arrays.items()}
        conditions = np.asarray(arrays["conditions"], np.int64)
        return cls(
            real["centre"],
            real["axes"],
            real["near"],
            real["known"],
            real["positions"],
            conditions,
            real["severity"],
            float(real["unit"][0]),
        )


def _principal(centred: Array, number: int) -> Array:
    """The first principal axes of (N, L), each of unit variance among them: (L, A)."""
    _, values, vectors = np.linalg.svd(centred, full_matrices=False)
    kept = vectors[: max(2, min(number, int((values > 1e-6 * values[0]).sum())))].T
    return np.asarray(kept / np.maximum((centred @ kept).std(0), 1e-9))


def spread_out(labels: NDArray[np.int64], number: int = KNOWN) -> NDArray[np.int64]:
    """Which of (N,) cases to ship: as many of each class as there are, the first ones."""
    classes = np.unique(labels)
    each = number // len(classes)
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:each] for c in classes]))
