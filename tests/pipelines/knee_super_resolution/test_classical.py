"""The classical method."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_super_resolution.classical import tricubic


def test_a_parabola_along_the_slices_is_met_exactly() -> None:
    coarse, fine = np.arange(6) * 4.0, np.arange(21) * 1.0
    array = np.broadcast_to((coarse**2 - 3 * coarse)[:, None, None], (6, 3, 2))
    thin = tricubic(array, coarse, fine)
    assert thin.shape == (21, 3, 2)
    assert thin[:, 1, 1] == pytest.approx(fine**2 - 3 * fine, abs=1e-3)
