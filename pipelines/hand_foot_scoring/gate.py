"""Abstaining: whether a joint looks like those that the heads were trained and validated on.

The features from which the heads grade a joint are compared with those of simulated and painted joints that no network
learned from: Mahalanobis distance, from the mean of its site and with the covariance of its family of sites. No real
patient's radiograph has a part in any limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.foreign import conformal_p_value, mahalanobis
from pipelines.hand_foot_scoring.sites import SITE_CLASSES

Array = NDArray[np.float64]

WRIST = frozenset(
    ("MC1B", "MULT", "NAV", "LUN", "RAD", "ULN", "CMC3", "CMC4", "CMC5", "MULTNAV", "CAPNAVLUN", "RADCARP")
)


def family(site: int) -> str:
    """The family of a site class: "MCP", "PIP and IP", "wrist" or "foot"."""
    part, name = SITE_CLASSES[site - 1]
    if part == "foot":
        return "foot"
    if name in WRIST:
        return "wrist"
    return "MCP" if name.startswith("MCP") else "PIP and IP"


FAMILIES = ("MCP", "PIP and IP", "wrist", "foot")
FAMILY_OF = np.array([0, *(FAMILIES.index(family(site)) for site in range(1, len(SITE_CLASSES) + 1))])  # by site class


@dataclass(frozen=True)
class JointGate:
    """What known joints look like to the damage network."""

    means: Array  # (CLASSES, F) of each site class
    whiten: Array  # (families, F, F), as `pipelines.foreign.mahalanobis` takes it
    far: Array  # (families, K) distances of held-out known joints, ascending
    limits: Array  # (families,) distance from which a joint counts as foreign

    def distance(self, features: Array, sites: NDArray[np.int64]) -> Array:
        """Distance (N,) of joints from the known ones of their site: about 1 for a known joint.

        Parameters
        ----------
        features
            (N, F), from `Damage.embed`.
        sites
            (N,) site classes.
        """
        result = np.zeros(len(sites))
        kinds = FAMILY_OF[sites]
        for kind in np.unique(kinds):
            rows = np.flatnonzero(kinds == kind)
            result[rows] = mahalanobis(features[rows] - self.means[sites[rows]], np.zeros(1), self.whiten[kind])
        return result

    def score(self, distance: Array, sites: NDArray[np.int64]) -> Array:
        """Distance (N,) as a share of the limit of each joint's family: above 1 the joint is unlike the known ones."""
        return np.asarray(distance / self.limits[FAMILY_OF[sites]])

    def p_value(self, distance: Array, sites: NDArray[np.int64]) -> Array:
        """Share (N,) of the held-out known joints of each family that are at least as far off."""
        kinds = FAMILY_OF[sites]
        result = np.ones(len(sites))
        for kind in np.unique(kinds):
            result[kinds == kind] = conformal_p_value(self.far[kind], distance[kinds == kind])
        return result

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The arrays that the bundle stores, by name."""
        return {name: np.asarray(getattr(self, name), np.float32) for name in ("means", "whiten", "far", "limits")}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.float32]]) -> JointGate:
        """The gate that a bundle's arrays hold."""
        return cls(*(np.asarray(arrays[name], np.float64) for name in ("means", "whiten", "far", "limits")))
