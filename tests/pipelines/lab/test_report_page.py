"""The page of a report: it holds its pictures, and nothing in it is taken for markup."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.lab import plots, report_page
from pipelines.lab.report_page import Report


def test_a_page_holds_its_tables_and_pictures_and_needs_no_other_file(tmp_path: Path) -> None:
    report = Report(tmp_path / "new" / "report", "Films & more")
    report.note("a < b")
    report.table(("film", "total"), [("<i>x</i>.png", 1.5), ("y", None)], "films")
    report.picture("sheet", Image.new("RGB", (4, 3), (10, 20, 30)), 'what "it" shows')
    page = report.write().read_text(encoding="utf-8")
    assert "<title>Films &amp; more</title>" in page
    assert "&lt;i&gt;x&lt;/i&gt;.png</td><td>1.500</td>" in page
    assert "http" not in page.replace("https://", "http")
    inside = re.search(r'src="data:image/png;base64,([^"]+)" alt="what &quot;it&quot; shows"', page)
    assert inside is not None
    assert base64.b64decode(inside[1]) == (tmp_path / "new" / "report" / "sheet.png").read_bytes()
    assert (tmp_path / "new" / "report" / "films.csv").read_text() == "film,total\n<i>x</i>.png,1.500\ny,\n"


def test_a_full_page_shows_further_pictures_from_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_page, "FULL", 100)
    report = Report(tmp_path, "Films")
    report.picture("one", Image.new("RGB", (4, 3)), "")
    report.picture("two", Image.effect_noise((64, 64), 50), "")
    page = report.write().read_text(encoding="utf-8")
    assert page.count("data:image/png") == 1
    assert 'src="two.png"' in page


def test_curves_change_with_the_colours_of_the_page_and_pictures_do_not(tmp_path: Path) -> None:
    report = Report(tmp_path, "Colours")
    report.picture("curve", plots.reliability([(0.5, 0.5, 3)]), "")
    report.picture("map", plots.panels({"a": np.eye(3)}), "")
    report.picture("film", Image.new("RGB", (4, 3)), "")
    page = report.write().read_text(encoding="utf-8")
    kinds = re.findall(r'<a href="(\w+)\.png"><img( class="plot")? ', page)
    assert kinds == [("curve", ' class="plot"'), ("map", ""), ("film", "")]
    assert re.search(r"prefers-color-scheme: light.* img\.plot { filter: invert", page)


def test_a_figure_is_written_as_a_picture_of_its_own_size(tmp_path: Path) -> None:
    report = Report(tmp_path, "Training")
    report.picture("reliability", plots.reliability([(0.5, 0.5, 3)]), "Reliability")
    with Image.open(tmp_path / "reliability.png") as image:
        assert image.size == (616, 594)  # 5.6 x 5.4 inches of 110 pixels
    assert report.write().name == "report.html"
