"""Heat of the cut-out goes back to the voxels of the scan that it was computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.joint_classification.volume import Head
from pipelines.joint_classification.volume_results import on_scan


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(
    "corner", [(2, 3, 4), (-3, 1, -2), (6, 5, 7)], ids=["inside", "padded before", "padded behind"]
)
def test_a_map_lies_on_the_voxels_it_was_computed_from(corner: Any, flipped: bool) -> None:
    scan = np.random.default_rng(1).random((12, 13, 14)).astype(np.float32)
    padded = np.pad(scan, 8)
    part = tuple(slice(8 + c, 8 + c + s) for c, s in zip(corner, (7, 8, 9), strict=True))
    cut = padded[part]
    head = Head(cut[::-1] if flipped else cut, (0.08,) * 3, corner, 1.0, flipped)
    painted = on_scan(head.density, head, scan.shape)
    there = painted > 0
    np.testing.assert_array_equal(painted[there], scan[there])
    assert there.sum() == (cut > 0).sum()
