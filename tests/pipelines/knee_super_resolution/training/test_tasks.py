"""Tasks with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_super_resolution.metrics import scale_of
from pipelines.knee_super_resolution.training.tasks import cropped, degraded
from pipelines.knee_super_resolution.training.volumes import ThinVolume


def test_a_ramp_along_the_degraded_axis_is_kept_and_scaled_by_the_thick_slices() -> None:
    array = np.broadcast_to(np.arange(1, 42, dtype=np.float32)[None, :, None], (30, 41, 26))
    task, truth = degraded(ThinVolume("v", "v", array, (1.0, 0.5, 2.0)), 1, 4, "gaussian")
    assert task.thick.shape == (11, 30, 26)
    assert truth.shape == (task.count, 30, 26) == (41, 30, 26)
    scale = scale_of(array[:, ::4])
    assert task.thick[:, 0, 0] * scale == pytest.approx(np.arange(1, 42, 4), abs=1e-3)
    assert truth[:, 0, 0] * scale == pytest.approx(np.arange(1, 42), abs=1e-4)
    assert task.anisotropy == pytest.approx(4 * 0.5 / np.sqrt(2.0))


def test_the_middle_is_kept_of_a_volume_that_is_too_large() -> None:
    array = np.arange(5 * 9 * 4, dtype=np.float32).reshape(5, 9, 4)
    small = cropped(ThinVolume("v", "v", array, (1.0, 1.0, 1.0)), 4)
    assert np.array_equal(small.array, array[0:4, 2:6, 0:4])
