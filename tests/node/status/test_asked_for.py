"""The page shows what is being fetched, waits or failed, with its jobs, and the callbacks that fail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database
from node.database.tables import CallbackRow, FetchRow
from node.status.app import build_app
from node.status.asked_for import AskedFor
from tests.node.status.conftest import Morning
from tests.serving import client_of, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NOW = datetime.now(UTC)
MARKUP = "<i>pacs</i>\u202e: 10.1.2.3:104 refuses the connection & ends it"
TOO_LONG = "1.2.840.113619." + "9" * 49


def fetch(request: str, state: str, study: str, minutes: float, **more: Any) -> FetchRow:
    at = NOW - timedelta(minutes=minutes)
    asked = {"study": study, "route": "knee_super_resolution"}
    values: dict[str, Any] = {"jobs": [], "asked": asked, "not_before": NOW, **more}
    return FetchRow(id=request, archive="pacs", study_instance_uid=study, state=state, created=at, updated=at, **values)


def callback(name: str, state: str, **more: Any) -> CallbackRow:
    values = {"url": "https://ris/hook?key=hunter2", "study_instance_uid": "1.2.1", "request": "", "jobs": [], **more}
    return CallbackRow(id=name, receiver="ris", state=state, not_before=NOW, created=NOW, **values)


@pytest.fixture
def requests(database: Database, morning: Morning) -> None:
    with Session(database) as session, session.begin():
        session.add_all(
            (
                fetch("done", "done", "1.2.1", 30, jobs=[f"{1:032x}", f"{9:032x}"]),  # the second was erased
                fetch("late", "failed", "9.9.1", 2, reason="pacs: has no image of this study"),
                fetch("waits", "waiting", TOO_LONG, 9, reason=MARKUP, attempts=3),
                fetch("new", "waiting", "9.9.2", 8),
                fetch("goes", "fetching", "1.2.2", 1),
                callback("fails", "failed", answer="ris: HTTP 404 Not Found"),
                callback("again", "waiting", answer="ris: ConnectError", attempts=2),
                callback("told", "told", answer="HTTP 204 No Content"),
                callback("early", "waiting"),
            )
        )


@pytest.fixture
def client(configuration: Configuration, database: Database, requests: None) -> Iterator[httpx.Client]:
    with client_of(build_app(configuration, database), accept="text/html") as client:
        yield client


def test_what_has_not_ended_comes_first_and_what_is_left_out_is_counted(database: Database, requests: None) -> None:
    shown, more = AskedFor(database).fetches(4)
    assert [one.row.id for one in shown] == ["goes", "waits", "new", "late"]
    assert more == 0
    shown, more = AskedFor(database).fetches(1)
    assert ([one.row.id for one in shown], more) == (["goes"], 2)
    done = AskedFor(database).fetches(9)[0][-1]
    assert [job.id for job in done.jobs] == [f"{1:032x}"]
    assert {one.id for one in AskedFor(database).callbacks_that_fail(9)[0]} == {"fails", "again"}
    assert AskedFor(database).callbacks_that_fail(1)[1] == 1


def test_the_page_says_why_and_leads_to_studies_and_jobs(client: httpx.Client) -> None:
    page = client.get("/").text
    assert "pacs: has no image of this study" in page
    assert "&lt;i&gt;pacs&lt;/i&gt;" in page
    assert "<i>pacs</i>" not in page
    assert "\u202e" not in page
    assert "tried 3 times, again at" in page
    assert f'<a href="/jobs/{1:032x}">' in page
    assert 'href="/studies/1.2.2"' in page
    assert 'href="/studies/9.9.1"' not in page  # nothing of it is stored
    assert "ris: HTTP 404 Not Found" in page
    assert "hunter2" not in page


def test_a_node_that_nobody_asked_for_anything_shows_neither(
    configuration: Configuration, database: Database, morning: Morning
) -> None:
    with client_of(build_app(configuration, database), accept="text/html") as client:
        page = client.get("/").text
    assert 'id="fetches"' not in page
    assert 'id="callbacks"' not in page


@pytest.mark.browser
def test_nothing_runs_over_the_edge_of_a_narrow_window(
    configuration: Configuration, database: Database, requests: None, browser: Browser
) -> None:
    with served(build_app(configuration, database)) as url:
        page = browser.new_page(viewport={"width": 400, "height": 800})
        page.goto(url)
        assert page.locator("#fetches tbody tr").count() == 5
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        page.locator(f'#fetches a[href="/jobs/{1:032x}"]').click()
        assert page.url.endswith(f"/studies/1.2.1#job-{1:032x}")
        page.close()
