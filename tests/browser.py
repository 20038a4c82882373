"""Headless Chromium for tests of pages and viewers, and a way to compare its screenshots with kept ones."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.needs import missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# No outside host is asked for anything, and no GPU is needed: WebGL is drawn by SwiftShader
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def chromium() -> Path | None:
    """The installed Chromium, or one of its kin; None if there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Path(found)
    return None


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless browser that ends with the context; skips the test where there is none."""
    program = chromium()
    if program is None:
        missing("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def kept_picture(screenshot: bytes, baseline: Path, width: int = 640) -> Image.Image:
    """`screenshot` made `width` pixels wide; kept as `baseline` (JPEG) where there is none yet."""
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    if not baseline.exists():
        baseline.parent.mkdir(parents=True, exist_ok=True)
        picture.save(baseline, quality=82, optimize=True)
    return picture


def difference(picture: Image.Image, baseline: Path) -> float:
    """Share of the picture's blocks of 16 x 16 pixels whose mean colour is over 24 of 255 from the kept picture's.

    Block means forgive a font's smoothing and JPEG; a panel that is empty or in other colours is not forgiven.
    """
    kept = Image.open(baseline).convert("RGB").resize(picture.size, Image.Resampling.LANCZOS)
    blocks = (max(1, picture.width // 16), max(1, picture.height // 16))
    here, there = (np.asarray(one.resize(blocks, Image.Resampling.BOX), dtype=np.float64) for one in (picture, kept))
    return float((np.abs(here - there).max(axis=2) > 24).mean())
