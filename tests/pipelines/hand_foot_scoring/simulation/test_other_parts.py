"""Other body parts have bones and flesh but no site."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.other_parts import PARTS, Sketch, other_part


@pytest.mark.parametrize("draw", PARTS)
def test_every_part_has_flesh_and_what_is_drawn_is_finite(draw: object) -> None:
    sketch = Sketch(np.random.default_rng(3))
    assert callable(draw)
    draw(sketch)
    assert sketch.tissue
    for bone in sketch.bones:
        assert np.isfinite(getattr(bone, "length", 1.0))


def test_another_part_has_no_site() -> None:
    for seed in range(10):
        assert not other_part(np.random.default_rng(seed)).sites
