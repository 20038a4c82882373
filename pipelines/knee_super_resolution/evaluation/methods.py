"""The methods that are compared, by their names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_super_resolution.evaluation import rivals
from pipelines.knee_super_resolution.model import warm_model
from pipelines.knee_super_resolution.training.tasks import Task

METHODS = ("tricubic", "fourier", "scsr", "deepresolve", "learned")


def ours(task: Task) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ours: the thin slices and the standard deviation of a voxel."""
    return warm_model().restore(task.thick, task.coarse, task.fine, task.profile, task.anisotropy)


RESTORE: dict[str, Callable[[Task], NDArray[np.float32]]] = {
    "tricubic": rivals.tci,
    "fourier": rivals.fourier,
    "scsr": rivals.scsr,
    "deepresolve": rivals.deepresolve,
    "selfsr": rivals.selfsr,
    "learned": lambda task: ours(task)[0],
}
