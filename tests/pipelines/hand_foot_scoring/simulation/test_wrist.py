"""The spaces of the wrist are as wide as their grade says."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.disease import GAP_LEFT
from tests.pipelines.hand_foot_scoring.simulation.test_skeleton import deep, narrowed


@pytest.mark.parametrize("grade", [0, 1, 2, 3, 4])
def test_the_wrist_is_as_narrow_as_its_grade_says(grade: int) -> None:
    low, high = GAP_LEFT[grade]
    for seed in range(6):
        tubes, blobs, scale = narrowed(grade, seed)
        lunate, radius = blobs["lunate"], tubes["radius"]
        towards = float(np.arctan2(radius.direction[1], radius.direction[0]))
        theta = np.linspace(-np.pi, np.pi, 32, endpoint=False)
        reach = float(np.interp(towards, theta, lunate.radii, period=2 * np.pi))
        edge = (lunate.centre[0] + reach * np.cos(towards), lunate.centre[1] + reach * np.sin(towards))
        gap = deep(radius, edge, towards) / scale
        # of 1.9 mm; by the second look at it a facet has moved by less than 0.15 mm
        assert 1.9 * 0.85 * low - 0.15 < gap < 1.9 * 1.2 * high + 0.15
