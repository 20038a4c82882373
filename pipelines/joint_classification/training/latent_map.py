"""Fits the latent map on held-out cases, and picks the known cases that are shipped with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from pipelines.joint_classification.latent_map import LatentMap

Array = NDArray[np.float64]

NEIGHBOUR_AXES = 16  # principal axes of the latent space in which neighbours are sought
DISCRIMINANT_AXES = 60  # principal axes among which those that part the classes are sought
KNOWN = 300  # cases shipped as the background


def fit_map(latent: Array, labels: NDArray[np.int64], severity: Array, known: NDArray[np.int64]) -> LatentMap:
    """Fit the map on held-out cases.

    Parameters
    ----------
    latent
        (N, L) latent vectors.
    labels
        (N,) classes.
    severity
        (N,), NaN if not known.
    known
        Numbers of the cases that are shipped.
    """
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
    return LatentMap(centre, axes, near, chosen, positions, labels[known], severity[known], unit)


def _principal(centred: Array, number: int) -> Array:
    """The first principal axes of (N, L), each of unit variance among them: (L, A)."""
    _, values, vectors = np.linalg.svd(centred, full_matrices=False)
    kept = vectors[: max(2, min(number, int((values > 1e-6 * values[0]).sum())))].T
    return np.asarray(kept / np.maximum((centred @ kept).std(0), 1e-9))


def spread_out(labels: NDArray[np.int64], number: int = KNOWN) -> NDArray[np.int64]:
    """Numbers of the cases to ship, from classes (N,): the first ones, as many of each class."""
    classes = np.unique(labels)
    each = number // len(classes)
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:each] for c in classes]))
