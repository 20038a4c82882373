from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_sr import phantoms
from dicom_sr.capture import drawing
from dicom_sr.capture.drawing import coloured, font, ticks, width_of, wrapped
from dicom_sr.capture.pages import MAXIMUM_HEIGHT, PAGE_WIDTH, draw_page, pages
from dicom_sr.capture.panels import _spread, render
from dicom_sr.findings import (
    Bar,
    BarPanel,
    ImagePanel,
    Line,
    LinePanel,
    Mark,
    Page,
    PointGroup,
    ScatterPanel,
    TablePanel,
)
from dicom_sr.provenance import Provenance
from dicom_sr.write.encode import EncodingProfile
from dicom_sr.write.secondary_capture import imprint
from tests.factories import joint_result, knee_result, knee_study, radiograph_study, square

CREATED = datetime(2026, 11, 22, tzinfo=UTC)
RAMP = np.tile(np.linspace(0, 1000, 64, dtype=np.float32), (48, 1))  # dark at the left


def page_of(*panels: object, columns: int = 2) -> Page:
    return Page("A title", panels, columns, ("What was found.",))  # type: ignore[arg-type]


def drawn(tmp_path: Path, page: Page) -> Image.Image:
    return draw_page(page, imprint(Provenance(knee_result(knee_study(tmp_path)), EncodingProfile(), CREATED)))


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


def test_the_page_is_of_one_width_and_not_higher_than_old_viewers_take(tmp_path: Path) -> None:
    panels = [ImagePanel(str(n), np.ones((400, 200), np.float32) * n, (0, 9)) for n in range(6)]
    picture = drawn(tmp_path, page_of(*panels))
    assert picture.size[0] == PAGE_WIDTH
    assert picture.size[1] <= MAXIMUM_HEIGHT


def test_every_kind_of_panel_is_drawn(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 5)
    panels = (
        ImagePanel("marks", RAMP, marks=tuple(Mark(square((8 * n + 6, 20), 3), f"site {n}", n / 6) for n in range(7))),
        ImagePanel("one mark", RAMP, marks=(Mark(square((30, 40), 6), "a site", dashed=True),), laterality="R"),
        BarPanel("bars", (Bar("a", 0.4, (0.2, 0.6), True), Bar("a label of several words", 0.1)), unit="%"),
        ScatterPanel("points", (PointGroup("known", np.random.default_rng(1).normal(size=(9, 2))),)),
        LinePanel(
            "curves",
            (
                Line("a", x, x, (x - 0.1, x + 0.1), True),
                Line("b", x, x**2, style="step"),
                Line("c", x, -x, style="stem"),
            ),
        ),
        TablePanel("table", (("a", "b"), ("1", "a text that is far too long for its column and wraps")), "note"),
    )
    for panel in panels:
        card = np.asarray(render(panel, 480, 300))  # type: ignore[arg-type]
        assert card.std() > 5, type(panel).__name__  # something is on it
        assert (card[:, -3:] == drawing.CARD).all(), type(panel).__name__  # and nothing reaches its edge
        assert (card[-3:] == drawing.CARD).all(), type(panel).__name__
    assert drawn(tmp_path, page_of(*panels)).height > 500


def test_no_patient_is_named_in_the_pixels(tmp_path: Path) -> None:
    # two patients, one study: the same pixels
    pictures = []
    for name in ("Doe^Jane", "Somebody^Else"):
        person = phantoms.Person("SAME", name, birth_date="19500101" if name[0] == "D" else "19990101")
        study = knee_study(tmp_path / name, person=person)
        provenance = Provenance(knee_result(study), EncodingProfile(), CREATED)
        pictures.append(np.asarray(draw_page(page_of(ImagePanel("a", RAMP)), imprint(provenance))))
    np.testing.assert_array_equal(*pictures)


def test_a_result_without_pages_still_tells_itself(tmp_path: Path) -> None:
    provenance = Provenance(joint_result(radiograph_study(tmp_path)), EncodingProfile(), CREATED)
    (page,) = pages(provenance.result)
    (table,) = page.panels
    assert isinstance(table, TablePanel)
    assert ("SvH L MCP2: Erosion score", "2.4 ") in table.rows
