"""The methods by their names."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_super_resolution.evaluation.methods import METHODS, NAMES, ours, restored
from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training.tasks import degraded
from pipelines.knee_super_resolution.training.volumes import ThinVolume


def test_what_is_compared_by_default_can_be_asked_for() -> None:
    assert set(METHODS) <= set(NAMES)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_every_thin_slice(method: str) -> None:
    volume = ThinVolume("c", "c", simulate_clutter(4, (33, 26, 24), 80), (1.0, 1.0, 1.0))
    task, truth = degraded(volume, 0, 4)
    thin, spread = restored(method, task)
    assert thin.shape == truth.shape
    assert (spread is None) == (method != "learned")


def test_ours_restores_every_thin_slice_with_its_spread() -> None:
    volume = ThinVolume("c", "c", simulate_clutter(4, (33, 32, 28), 80), (1.0, 1.0, 1.0))
    task, truth = degraded(volume, 0, 4)
    thin, spread = ours(task)
    assert thin.shape == spread.shape == truth.shape
    assert np.array_equal(thin, restored("learned", task)[0])
    assert spread.min() > 0
