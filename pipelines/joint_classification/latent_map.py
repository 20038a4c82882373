"""The latent map: a fixed 2-D projection of the bottleneck with known cases on it, and the nearest of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LatentMap:
    """Two fixed axes that separate the classes best (Fisher's discriminant), and the known cases.

    A projection that is a matrix, rather than an embedding that is learned anew, always puts the same image at the same
    place.
    """

    centre: Array  # (L,)
    axes: Array  # (L, 2)
    near: Array  # (L, A): to the space where neighbours are sought, whitened
    known: Array  # (K, A): the known cases in that space
    positions: Array  # (K, 2)
    conditions: NDArray[np.int64]  # (K,)
    severity: Array  # (K,), NaN where not known
    unit: float  # median distance of a known case to its nearest neighbour

    def place(self, latent: Array) -> Array:
        """Positions (N, 2) on the map of latent vectors (N, L)."""
        return np.asarray((latent - self.centre) @ self.axes)

    def nearest(self, latent: Array, number: int) -> tuple[NDArray[np.int64], Array]:
        """Numbers of the known cases nearest to a latent vector (L,), and their distances in units of `unit`."""
        distance = np.linalg.norm(self.known - (latent - self.centre) @ self.near, axis=1) / self.unit
        order = np.argsort(distance, kind="stable")[:number]
        return order, distance[order]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays that the bundle stores, by name."""
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
        """The map that a bundle's arrays hold."""
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
