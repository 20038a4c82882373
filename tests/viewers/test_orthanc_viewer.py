"""Orthanc's own web viewer shows the images among the results."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.viewers.conftest import Examples, hold_to_picture
from tests.viewers.test_ohif import PATIENCE_MS, still

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.orthanc]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(
    ("name", "example", "sop_class", "slices_down", "bright"),
    [
        ("orthanc-knee-derived-series", "knee_super_resolution", "MR Image Storage", 38, 0.2),
        ("orthanc-knee-capture", "knee_super_resolution", "Secondary Capture Image Storage", 0, 0.1),
        ("orthanc-not-run", "not_run", "Secondary Capture Image Storage", 0, 0.005),
    ],
)
def test_orthancs_viewer_shows_it_without_an_error(
    name: str,
    example: str,
    sop_class: str,
    slices_down: int,
    bright: float,
    examples: Examples,
    page: Page,
    tmp_path: Path,
) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    series = examples.orthanc_series(example, sop_class)
    page.goto(f"{examples.archive.url}/web-viewer/app/viewer.html?series={series}")
    page.wait_for_selector("canvas", timeout=PATIENCE_MS)
    still(page)
    page.mouse.move(500, 400)
    for _ in range(slices_down):
        page.mouse.wheel(0, 100)
    screenshot = still(page)
    assert complaints == []
    seen = np.asarray(Image.open(io.BytesIO(screenshot)).convert("RGB").crop((0, 100, 1000, 700)))
    assert (seen.max(axis=2) > 60).mean() >= bright
    hold_to_picture(screenshot, name, tmp_path)
