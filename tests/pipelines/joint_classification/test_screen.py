"""A scanner's screen taken apart: what is tissue, what was drawn over it, and at which scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from dicom_sr.findings import ImageReference
from dicom_sr.read.pixels import Picture, UltrasoundRegion
from pipelines.joint_classification.screen import take_apart
from pipelines.joint_classification.simulation.screen import Shown, cine, show


def picture(shown: Shown, regions: tuple[UltrasoundRegion, ...] | None = None) -> Picture:
    if regions is None:
        regions = (UltrasoundRegion(shown.box, (shown.pixel_mm, shown.pixel_mm), 1),)
    return Picture(ImageReference("1.2"), shown.pixels, "", None, "none", regions=regions)


@pytest.fixture(scope="module")
def sweep() -> tuple[np.ndarray, np.ndarray]:
    return cine(np.random.default_rng(3), "ra", 0.8, 2)


def inner(mask: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    left, top, right, bottom = box
    return mask[top + 3 : bottom - 2, left + 3 : right - 2]


def test_the_tissue_is_found_without_any_help_from_the_header(sweep: tuple[np.ndarray, np.ndarray]) -> None:
    shown = show(sweep[0][0])
    (panel,) = take_apart(picture(shown, ())).panels
    assert panel.pixel_mm is None
    np.testing.assert_allclose(panel.box[:3:2], (shown.box[0], shown.box[2] + 1), atol=6)
    assert abs(panel.box[1] - shown.box[1]) < 40  # gel over the skin may be as dark as the screen


def test_all_writing_and_rulers_are_found_and_no_echo_is_taken_for_writing(
    sweep: tuple[np.ndarray, np.ndarray],
) -> None:
    shown, bare = show(sweep[0][0]), show(sweep[0][0], text=(), rulers=False)
    drawn = (shown.pixels != bare.pixels).any(2)
    hidden = take_apart(picture(shown)).hidden
    assert drawn.sum() > 500
    assert hidden[drawn].mean() > 0.97
    assert inner(hidden, shown.box).mean() < 0.002


@pytest.mark.parametrize("at", [(0.3, 0.75), (0.15, 0.3)], ids=["in the shadow", "over the tissue"])
def test_letters_within_the_picture_are_found_too(sweep: tuple[np.ndarray, np.ndarray], at: Any) -> None:
    shown = show(sweep[0][0], text=(), rulers=False)
    image = Image.fromarray(shown.pixels)
    place = (shown.box[0] + at[0] * 465, shown.box[1] + at[1] * 372)
    ImageDraw.Draw(image).text(place, "LEFT MCP2", fill=(255, 255, 255), font=ImageFont.load_default(20))
    drawn = np.abs(np.asarray(image).astype(int) - shown.pixels).max(2) > 100
    hidden = take_apart(picture(Shown(np.asarray(image), shown.box, shown.pixel_mm))).hidden
    assert hidden[drawn].mean() > 0.9


def test_doppler_colour_is_hidden_and_its_share_told(sweep: tuple[np.ndarray, np.ndarray]) -> None:
    plain, coloured = show(sweep[0][1]), show(sweep[0][1], np.ones_like(sweep[1][1]) * (sweep[1][1] > 0))
    flow = (coloured.pixels.max(2).astype(int) - coloured.pixels.min(2)) > 80
    taken = take_apart(picture(coloured))
    assert flow.sum() > 100
    assert taken.hidden[flow].all()
    assert len(taken.panels) == 1  # the frame of the colour box parts no picture
    np.testing.assert_allclose(taken.panels[0].box[:3:2], (coloured.box[0], coloured.box[2] + 1), atol=6)
    assert taken.panels[0].colour_share > 0.001
    assert take_apart(picture(plain)).panels[0].colour_share < 0.001


def test_a_tinted_picture_is_not_taken_for_colour(sweep: tuple[np.ndarray, np.ndarray]) -> None:
    shown = show(sweep[0][0], text=(), rulers=False)
    tint = np.asarray(shown.pixels * np.array([1.0, 0.7, 0.35]), np.uint8)
    taken = take_apart(picture(Shown(tint, shown.box, shown.pixel_mm)))
    assert inner(taken.hidden, shown.box).mean() < 0.01


def test_two_pictures_side_by_side_are_two_panels(sweep: tuple[np.ndarray, np.ndarray]) -> None:
    one, two = (show(frame, size=(480, 480)) for frame in sweep[0])
    both = Shown(np.hstack([one.pixels, two.pixels]), one.box, one.pixel_mm)
    shifted = (two.box[0] + 480, two.box[1], two.box[2] + 480, two.box[3])
    panels = take_apart(picture(both, ())).panels
    assert len(panels) == 2
    for panel, box in zip(panels, (one.box, shifted), strict=True):
        np.testing.assert_allclose(panel.box[:3:2], (box[0], box[2] + 1), atol=6)


def test_only_calibrated_regions_of_tissue_are_looked_at(sweep: tuple[np.ndarray, np.ndarray]) -> None:
    shown = show(sweep[0][0], size=(480, 640))
    left, top, right, bottom = shown.box
    tissue = UltrasoundRegion(shown.box, (0.055, 0.055), 1)
    colour_box = UltrasoundRegion((left + 80, top + 40, right - 80, bottom - 90), (0.055, 0.055), 2)
    spectrum = UltrasoundRegion((0, 0, 639, 40), None, 3)
    (panel,) = take_apart(picture(shown, (spectrum, colour_box, tissue))).panels
    assert panel.pixel_mm == (0.055, 0.055)
    np.testing.assert_allclose(panel.box, (left, panel.box[1], right + 1, bottom + 1), atol=6)


@pytest.mark.parametrize("shape", [(40, 40, 3), (12, 300, 3), (200, 300)])
def test_a_screen_without_echoes_has_no_panel(shape: Any) -> None:
    empty = Picture(ImageReference("1.2"), np.zeros(shape, np.uint8), "", None, "none")
    assert take_apart(empty).panels == ()
