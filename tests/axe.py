"""Whether anything on a page keeps somebody out: axe-core in Chromium, light and dark, on wide and narrow screens."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tests.needs import missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, BrowserContext, Page

CACHE = Path(__file__).parents[1] / ".cache"
SCREENS = (1280, 360)  # pixels wide
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@cache
def program() -> str:
    """The text of axe-core; skips the test where `make peers` has not fetched it."""
    found = sorted(CACHE.glob("axe-*/axe.min.js"))
    if not found:
        missing("axe-core is not in .cache: `make test` fetches it where npm is installed")
    return found[-1].read_text(encoding="utf-8")


def assert_accessible(
    browser: Browser | BrowserContext, url: str, prepare: Callable[[Page], object] = lambda _: None
) -> None:
    """Open a page in every scheme and on every screen, and assert that axe-core finds nothing and nothing runs over.

    Parameters
    ----------
    browser
        Or a context of it, such as one that is signed in, with `bypass_csp`.
    prepare
        Called with the page before it is looked at, such as to unfold something.
    """
    # the page's own policy lets no script in that is not the node's
    page = browser.new_page() if hasattr(browser, "cookies") else browser.new_page(bypass_csp=True)
    try:
        page.goto(url)
        prepare(page)
        page.evaluate(program())
        for scheme, width in itertools.product(SCHEMES, SCREENS):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            found = page.evaluate("axe.run({resultTypes: ['violations']})")
            told = "\n".join(map(_sentence, found["violations"]))
            assert not told, f"{url}, {scheme}, {width} pixels wide:\n{told}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{url} is wider than {width}"
    finally:
        page.close()


def _sentence(violation: dict[str, Any]) -> str:
    places = "; ".join(f"{node['target']}: {node['html'][:160]}" for node in violation["nodes"][:3])
    return f"{violation['id']} ({violation['help']}): {places}"
