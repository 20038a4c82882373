from __future__ import annotations

import itertools

import numpy as np
import pytest

from dicom_sr.capture.panels import render
from dicom_sr.capture.picture import _spread
from dicom_sr.findings import (
    ImagePanel,
)

RAMP = np.tile(np.linspace(0, 1000, 64, dtype=np.float32), (48, 1))  # dark at the left


def test_labels_beside_a_picture_do_not_overlap_and_stay_inside() -> None:
    placed = _spread([10, 11, 12, 13, 290, 291, 292], 27, 300)
    assert all(b - a >= 27 - 1e-9 for a, b in itertools.pairwise(placed))
    assert placed[-1] <= 300 - 13


def test_a_picture_is_not_mirrored() -> None:
    card = np.asarray(render(ImagePanel("", RAMP, (0, 1000)), 400, 300).convert("L"), float)
    middle = card[card.shape[0] // 2]
    assert middle[30] < 60 < 200 < middle[-30]


def test_pixels_are_as_wide_and_high_as_they_are_in_the_patient() -> None:
    tall = render(ImagePanel("", RAMP, (0, 1000), (4.0, 1.0)), 400, 2000)
    wide = render(ImagePanel("", RAMP, (0, 1000), (1.0, 1.0)), 400, 2000)
    padding = 28
    assert (tall.height - padding) / (wide.height - padding) == pytest.approx(4, rel=0.02)


def test_anatomy_is_untouched_where_there_is_no_heat_and_visible_where_there_is() -> None:
    heat = np.zeros_like(RAMP)
    heat[:, 40:] = 1.0
    plain = np.asarray(render(ImagePanel("", RAMP, (0, 1000)), 500, 300), float)
    panel = ImagePanel("", RAMP, (0, 1000), heat=heat, heat_threshold=0.3, heat_unit="attention")
    hot = np.asarray(render(panel, 500, 300), float)
    # the picture is a little smaller beside its bar: compare at the same place in the image
    grey = hot[60, 60]
    assert np.ptp(grey) < 2  # still grey
    row = hot[100]
    under = row[(row.max(1) - row.min(1)) > 40]  # coloured pixels
    assert len(under) > 20
    assert under.mean(1).std() > 5  # the ramp below shows through
    assert plain.shape[1] == hot.shape[1]


def test_a_colour_bar_says_its_range_and_unit() -> None:
    without = render(ImagePanel("", RAMP, (0, 1000)), 500, 300)
    heat = ImagePanel("", RAMP, (0, 1000), heat=np.ones_like(RAMP), heat_unit="attention")
    assert np.asarray(render(heat, 500, 300)).shape != np.asarray(without).shape


def test_a_picture_flatter_than_its_colour_bar_is_drawn() -> None:
    """An axial cut through a stack of few slices: 6 rows of 48 pixels."""
    flat = ImagePanel("", RAMP[:6, :48], (0, 1000), heat=np.ones((6, 48), np.float32), heat_unit="stored value")
    assert render(flat, 180, 300).height > 72  # two lines of unit and the least bar
