from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from dicom_sr import phantoms
from dicom_sr.capture import drawing
from dicom_sr.capture.pages import MAXIMUM_HEIGHT, PAGE_WIDTH, draw_page, pages
from dicom_sr.capture.panels import render
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
        card = np.asarray(render(panel, 480, 300))
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
    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_a_result_without_pages_still_tells_itself(tmp_path: Path) -> None:
    provenance = Provenance(joint_result(radiograph_study(tmp_path)), EncodingProfile(), CREATED)
    (page,) = pages(provenance.result)
    (table,) = page.panels
    assert isinstance(table, TablePanel)
    assert ("SvH L MCP2: Erosion score", "2.4 ") in table.rows
