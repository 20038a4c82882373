"""Points from class maps."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.centres import peaks, soft_argmax


def test_the_centre_of_a_blob_is_found_between_pixels() -> None:
    rows, columns = np.mgrid[:60, :50]
    blob = np.exp(-((columns - 20.3) ** 2 + (rows - 31.6) ** 2) / 18).astype(np.float32)
    centre = soft_argmax(blob, (22.0, 30.0), 6.0)
    assert centre.point == pytest.approx((20.3, 31.6), abs=0.5)  # the Gaussian round the guess pulls a little
    exact = soft_argmax(blob, (20.3, 31.6), 6.0)
    assert exact.point == pytest.approx((20.3, 31.6), abs=0.1)
    assert exact.confidence == pytest.approx(1.0, abs=0.03)


def test_a_place_off_the_map_has_no_confidence() -> None:
    assert soft_argmax(np.ones((10, 10), np.float32), (-3.0, 4.0), 2.0).confidence == 0
    assert soft_argmax(np.ones((10, 10), np.float32), (40.0, 4.0), 2.0).confidence == 0


def test_peaks_come_highest_first_and_nothing_below_the_floor() -> None:
    maps = np.zeros((1, 40, 40), np.float32)
    maps[0, 10, 10], maps[0, 30, 20], maps[0, 5, 35] = 0.4, 0.9, 0.01
    found = peaks(maps)
    assert found.points[0, 0] == pytest.approx((20, 30), abs=0.2)
    assert found.points[0, 1] == pytest.approx((10, 10), abs=0.2)
    assert found.scores[0, 2] == 0
