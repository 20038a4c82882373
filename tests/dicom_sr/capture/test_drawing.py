from __future__ import annotations

import itertools

import numpy as np
import pytest

from dicom_sr.capture import drawing
from dicom_sr.capture.drawing import coloured, font, ticks, width_of, wrapped
from dicom_sr.capture.pages import PAGE_WIDTH


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance, WCAG 2.1."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ink", [drawing.TEXT, drawing.MUTED, drawing.WARNING, drawing.ACCENT, *drawing.SERIES])
@pytest.mark.parametrize("ground", [drawing.GROUND, drawing.CARD])
def test_every_text_colour_stands_out_from_its_ground(ink: tuple[int, int, int], ground: tuple[int, int, int]) -> None:
    assert (luminance(ink) + 0.05) / (luminance(ground) + 0.05) >= 4.5


@pytest.mark.parametrize("name", [drawing.HEAT_MAP, drawing.LEVEL_MAP])
def test_colour_maps_grow_lighter_all_the_way(name: str) -> None:
    # so that order is seen without colour
    colours = [tuple(int(v) for v in c) for c in coloured(np.linspace(0, 1, 32), name)]
    assert all(luminance(b) > luminance(a) for a, b in itertools.pairwise(colours))  # type: ignore[arg-type]


def test_the_smallest_text_is_ten_pixels_high_on_a_page_512_wide() -> None:
    sizes = (drawing.SMALL, drawing.BODY, drawing.LARGE, drawing.TITLE)
    assert min(sizes) * 512 / PAGE_WIDTH >= 10


def test_wrapped_lines_fit_and_lose_no_word() -> None:
    text = "Sharp/van der Heijde " * 5 + "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk"
    lines = wrapped(text, font(20), 240)
    assert all(width_of(line, font(20)) <= 240 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 1) == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert all(-7.3 <= t <= 12.1 for t in ticks(-7.3, 12.1))
