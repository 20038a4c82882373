"""Everybody can use the pages: axe-core finds nothing, with much on them and with nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.config import Configuration
from node.database.connection import Database
from node.run.pool import WorkerView
from node.status.app import build_app
from tests.axe import assert_accessible
from tests.node.status.conftest import Morning
from tests.serving import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WORKERS = (
    WorkerView(0, 4711, f"{4:032x}", "infer", 12.3, ("knee_super_resolution",)),
    WorkerView(1, None, "", "", 0, ()),
)
FULL = ["/", "/studies?modality=MR&state=done", "/studies?state=nonsense", "/studies/1.2.1"]

pytestmark = pytest.mark.browser


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")


@pytest.mark.parametrize("path", FULL)
def test_axe_finds_nothing_on_a_page(
    browser: Browser, configuration: Configuration, database: Database, morning: Morning, path: str
) -> None:
    with served(build_app(configuration, database, workers=lambda: WORKERS)) as url:
        assert_accessible(browser, url + path, unfold)


@pytest.mark.parametrize("path", ["/", "/studies"])
def test_axe_finds_nothing_on_an_empty_page(
    browser: Browser, configuration: Configuration, database: Database, path: str
) -> None:
    with served(build_app(configuration, database)) as url:
        assert_accessible(browser, url + path)
