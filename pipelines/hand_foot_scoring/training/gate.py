"""Fits the gate of the joints on simulated and painted joints alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.gate import FAMILIES, FAMILY_OF, Array, JointGate
from pipelines.hand_foot_scoring.sites import CLASSES
from pipelines.lab.whitening import whitening

FOREIGN_SHARE = 0.01  # of the known joints of a family that may count as foreign
LEAST_SPREAD = 0.3  # of a feature in one family, as a share of the median over the features in all of them
STORED_DISTANCES = 500  # of held-out joints, per family: evenly along their order


def fit_gate(
    known: Array, known_sites: NDArray[np.int64], held_out: Array, held_out_sites: NDArray[np.int64]
) -> JointGate:
    """Learn what known joints look like, and how far off others of the same kind are.

    Parameters
    ----------
    known
        (N, F) features of joints.
    known_sites
        (N,) their site classes; every family must occur.
    held_out
        (K, F) features of joints of other patients.
    held_out_sites
        (K,) their site classes.
    """
    means = np.zeros((CLASSES, known.shape[1]))
    for site in range(1, CLASSES):
        mine = known_sites == site
        if not mine.any():  # of very few patients
            mine = FAMILY_OF[known_sites] == FAMILY_OF[site]
        means[site] = known[mine].mean(axis=0)
    rest = known - means[known_sites]
    least = LEAST_SPREAD * float(np.median(rest.std(axis=0)))
    whiten = np.stack([whitening(rest[FAMILY_OF[known_sites] == kind], least)[1] for kind in range(len(FAMILIES))])
    none = np.zeros((len(FAMILIES), 1))
    distance = JointGate(means, whiten, none, none[:, 0]).distance(held_out, held_out_sites)
    shares = np.linspace(0, 1, STORED_DISTANCES)
    kinds = FAMILY_OF[held_out_sites]
    far = np.stack([np.quantile(distance[kinds == kind], shares) for kind in range(len(FAMILIES))])
    limits = np.array([np.quantile(distance[kinds == kind], 1 - FOREIGN_SHARE) for kind in range(len(FAMILIES))])
    return JointGate(means, whiten, far, limits)
