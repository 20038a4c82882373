"""The latent map: a fixed 2-D projection of the bottleneck with known cases on it, and the nearest of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
