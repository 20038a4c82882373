"""The similarity that lays a limb onto another."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring import shape


def test_align_recovers_turn_scale_and_shift() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 10, (8, 2))
    known = shape.Similarity(2.5, 0.6, (30.0, -12.0))
    found = shape.align(points, known.apply(points), np.ones(8))
    assert found.scale == pytest.approx(2.5)
    assert found.angle == pytest.approx(0.6)
    assert found.shift == pytest.approx((30.0, -12.0))
    np.testing.assert_allclose(found.invert(found.apply(points)), points, atol=1e-9)
