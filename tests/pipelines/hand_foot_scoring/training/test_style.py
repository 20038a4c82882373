"""Crops in random styles keep their shapes and are the same for the same seed."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from pipelines.hand_foot_scoring.crops import CROP, normalised
from pipelines.hand_foot_scoring.simulation.crops import MARGIN, STORED
from pipelines.hand_foot_scoring.training.style import Style, styled, views

NONE = replace(Style(), **{field.name: 0.0 for field in fields(Style)})


def crops(count: int = 6) -> np.ndarray:
    """Crops with a bright disc on a slope, each elsewhere and of another size."""
    rows, columns = np.mgrid[:STORED, :STORED]
    discs = [np.clip(8 + 2 * n - np.hypot(rows - 30 - 3 * n, columns - 40), 0, 6) for n in range(count)]
    return np.stack([20 + columns + 20 * disc for disc in discs]).astype(np.uint8)


def test_without_any_style_a_crop_stays_as_it_is() -> None:
    stored = crops()
    plain = normalised(stored[:, MARGIN:-MARGIN, MARGIN:-MARGIN])[:, None]
    np.testing.assert_allclose(styled(stored, np.random.default_rng(0), NONE), plain, atol=1e-3)


@pytest.mark.parametrize(
    "name", ["spectrum", "tone", "slope", "grain", "soft", "sharp", "noise", "blocks", "turn", "shift", "scale"]
)
def test_every_style_changes_crops_and_leaves_the_disc_where_it_was(name: str) -> None:
    stored = crops()
    strength = {"turn": 0.06, "shift": 1.2, "scale": 0.05}.get(name, 1.0)
    changed = styled(stored, np.random.default_rng(1), replace(NONE, **{name: strength}))
    plain = styled(stored, np.random.default_rng(1), NONE)
    assert np.abs(changed - plain).mean() > 0.004
    for mine, other in zip(changed, plain, strict=True):
        assert np.corrcoef(mine.ravel(), other.ravel())[0, 1] > 0.5


def test_views_are_the_same_for_the_same_seed_and_differ_from_one_another() -> None:
    made = views(crops(), 2, 3)
    assert made.shape == (2, 6, CROP, CROP)
    np.testing.assert_array_equal(made, views(crops(), 2, 3))
    assert not np.array_equal(made[0], made[1])
