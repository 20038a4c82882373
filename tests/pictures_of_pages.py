"""Takes the pictures of docs/pages.md: `python -m tests.pictures_of_pages` after a change of how the pages look.

The node works with the demo's samples and its shipped pipelines, and with what goes wrong in `tests.site_at_work`.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image
from pydicom import dcmread

from node.config.example import example_routes
from node.demo import samples
from tests.browser import open_browser
from tests.node.access.quick import PASSWORD
from tests.node.run.trial import install_trial
from tests.running import RunningNode
from tests.site_at_work import site_at_work

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

FOLDER = Path(__file__).parents[1] / "docs" / "pictures" / "pages"
OF_README = FOLDER.parent / "status-page.jpg"
SENT = ("hands", "finger", "two slices missing")  # of the demo's samples, by their titles
WIDE, PHONE = 1280, 360  # pixels
HIGHEST = 1150  # of a picture; what is below is left out
QUALITY = 72


def main() -> None:
    """Start the node, sign in, and look at every page."""
    folder = Path(tempfile.gettempdir()) / "condyle"  # pictures show it
    folder.mkdir()
    try:
        os.environ["PYTHONPATH"] = install_trial(folder / "packages")
        os.environ["COLUMNS"] = "160"
        routes = {name: {**route, "destinations": ["archive"]} for name, route in example_routes().items()}
        with site_at_work(folder, **routes) as node, open_browser() as browser:
            studies = _send(node, folder / "samples")
            _take_all(browser, node, studies)
    finally:
        shutil.rmtree(folder)


def _send(node: RunningNode, folder: Path) -> list[str]:
    """Send samples of the demo, wait until all is done, and return their studies."""
    sent = []
    for number, sample in enumerate(one for one in samples.SAMPLES if any(word in one.title for word in SENT)):
        place = folder / str(number)
        place.mkdir(parents=True)
        sample.write(place)
        files = sorted(place.iterdir())
        assert set(node.send(files)) == {0}
        sent.append(str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID))
    for study in sent:
        node.ended_jobs(1, 300, study=study)
    return sent


def _take_all(browser: Browser, node: RunningNode, studies: list[str]) -> None:
    url = f"http://127.0.0.1:{node.page}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    first = browser.new_context(viewport={"width": WIDE, "height": 560})
    page = first.new_page()
    page.goto(f"{url}/sign-in")
    _keep(page.screenshot(), FOLDER / "sign-in.jpg")
    page.fill("#name", "anna")
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/")
    state = first.storage_state()
    for name, path, scheme, width in _pages(node, studies):
        context = browser.new_context(
            viewport={"width": width, "height": 640}, color_scheme=scheme, storage_state=state, device_scale_factor=1
        )
        _take(context, f"{url}{path}", FOLDER / f"{name}.jpg")
        context.close()
    (FOLDER / "now.jpg").replace(OF_README)


def _pages(node: RunningNode, studies: list[str]) -> Iterator[tuple[str, str, Literal["light", "dark"], int]]:
    failed = next(job for job in node.jobs() if job.state == "failed")
    study = f"/studies/{studies[0]}"
    yield "now", "/", "light", WIDE
    for name, path in {
        "studies": "/studies",
        "study": study,
        "routes": "/routes",
        "try": "/routes/try?route=joints",
        "failures": "/failures",
    }.items():
        yield name, path, "light", WIDE
    for name, path in {
        "now-dark": "/",
        "job-dark": f"/jobs/{failed.id}",
        "models-dark": "/models",
        "alerts-dark": "/alerts",
        "audit-dark": "/audit",
    }.items():
        yield name, path, "dark", WIDE
    for name, path in {
        "import": "/import",
        "configuration": "/reload",
        "users": "/users",
        "tokens": "/tokens",
        "account": "/account",
        "confirmation": "/destinations/archive/pause",
    }.items():
        yield name, path, "light", WIDE
    for name, path in {"now-phone": "/", "studies-phone": "/studies", "study-phone": study}.items():
        yield name, path, "light", PHONE


def _take(context: BrowserContext, url: str, path: Path) -> None:
    page = context.new_page()
    page.goto(url)
    if "/try" in url:
        page.locator("input[name='when.value.0']").fill("[KNEE, CHEST]")
        page.get_by_text("What changes").wait_for()
    page.evaluate("Promise.all([...document.images].map((one) => { one.loading = 'eager'; return one.decode(); }))")
    _keep(page.screenshot(full_page=True), path)


def _keep(screenshot: bytes, path: Path) -> None:
    picture: Any = Image.open(io.BytesIO(screenshot)).convert("RGB")
    picture.crop((0, 0, picture.width, min(picture.height, HIGHEST))).save(path, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
