"""The class mask of the localiser."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.training.mask import BACKGROUND, IGNORED, class_mask


def test_a_pixel_belongs_to_the_nearest_centre_within_r_is_ignored_up_to_big_r_and_background_beyond() -> None:
    mask = class_mask({3: (10.0, 10.0), 7: (16.0, 10.0)}, (30, 40), inner=4, outer=8)
    assert mask[10, 10] == 3
    assert mask[10, 12] == 3  # 2 from the one, 4 from the other
    assert mask[10, 14] == 7
    assert mask[14, 10] == 3  # exactly r away
    assert mask[15, 10] == IGNORED
    assert mask[18, 10] == IGNORED  # exactly R away
    assert mask[19, 10] == BACKGROUND
    assert set(np.unique(mask)) == {0, 3, 7, 255}


def test_equal_radii_leave_nothing_ignored() -> None:
    mask = class_mask({1: (10.0, 10.0)}, (20, 20), inner=4, outer=4)
    assert not np.any(mask == IGNORED)


def test_r_may_not_be_larger_than_big_r() -> None:
    with pytest.raises(ValueError, match="larger"):
        class_mask({1: (1.0, 1.0)}, (4, 4), inner=3, outer=2)


def test_a_film_without_sites_is_background() -> None:
    assert not class_mask({}, (4, 5), 1, 2).any()
