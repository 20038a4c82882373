"""The methods that are compared, by their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_super_resolution import BUNDLE, DEEPRESOLVE_BUNDLE
from pipelines.knee_super_resolution.evaluation import rivals
from pipelines.knee_super_resolution.model import warm_model
from pipelines.knee_super_resolution.training.tasks import Task

METHODS = ("tricubic", "fourier", "scsr", "deepresolve", "learned")  # compared by default
NAMES = (*METHODS, "selfsr")


@dataclass(frozen=True)
class Weights:
    """Whose weights the methods run with, and where."""

    bundle: Path = BUNDLE  # of ours
    deepresolve: Path = DEEPRESOLVE_BUNDLE  # bundle of the published network
    scsr: Path = rivals.SCSR  # folder of the dictionaries
    device: str = "cpu"  # for ours, see `pipelines.device`


SHIPPED = Weights()


def ours(task: Task, weights: Weights = SHIPPED) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ours: the thin slices and the standard deviation of a voxel.

    Parameters
    ----------
    task
        Thick slices, and where thin ones are wanted.
    weights
        Which to run with.
    """
    made = warm_model(weights.bundle, weights.device)
    return made.restore(task.thick, task.coarse, task.fine, task.profile, task.anisotropy)


def restored(
    method: str, task: Task, weights: Weights = SHIPPED
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """The thin slices of a method and, where it knows it, the standard deviation of a voxel.

    Parameters
    ----------
    method
        One of `NAMES`.
    task
        Thick slices, and where thin ones are wanted.
    weights
        Which to run with.

    Raises
    ------
    FileNotFoundError
        If the method has no weights for the factor.
    """
    if method == "learned":
        return ours(task, weights)
    if method == "deepresolve":
        return rivals.deepresolve(task, weights.deepresolve), None
    if method == "scsr":
        return rivals.scsr(task, weights.scsr), None
    return {"tricubic": rivals.tci, "fourier": rivals.fourier, "selfsr": rivals.selfsr}[method](task), None
