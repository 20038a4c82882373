"""A bundle's model in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.bundle_configs import UnusableBundle
from pipelines.knee_super_resolution import BUNDLE, DEEPRESOLVE_BUNDLE, metrics
from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.model import load, load_model

COARSE, FINE, PROFILE = 4.0 * np.arange(6), np.arange(21.0), SliceProfile("gaussian")


def stored() -> NDArray[np.float32]:
    """Stored values of six slices."""
    return np.random.default_rng(0).random((6, 30, 28), dtype=np.float32) * np.float32(900)


def test_what_the_inferer_gives_is_what_its_core_gives() -> None:
    made = load_model().thin(stored(), COARSE, FINE, PROFILE, 4.0)
    scale = np.float32(metrics.scale_of(stored()))
    thin, spread = load().restore(np.asarray(stored() / scale, np.float32), COARSE, FINE, PROFILE, 4.0)
    assert made.scale == scale
    assert np.array_equal(made.array, thin * scale)
    assert made.standard_deviation is not None
    assert np.array_equal(made.standard_deviation, spread * scale)


def test_a_bundle_of_another_method_is_refused() -> None:
    with pytest.raises(UnusableBundle, match="which the shipped bundle does not call"):
        load_model(BUNDLE, DEEPRESOLVE_BUNDLE)


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableBundle, match=r"metadata\.json: cannot be read"):
        load_model(tmp_path)
