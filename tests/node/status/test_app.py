"""The page shows what the records say, reads only, and names no patient."""

from __future__ import annotations

import contextlib
import http.client
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_sr.words import escaped
from node.config import Configuration, RunSettings, StatusSettings
from node.database.connection import Database
from node.database.tables import JobRow, ObjectRow, OutboxRow, StudyRow
from node.status.app import build_app
from tests.node.status.conftest import CAPTURE_RGB, Morning
from tests.serving import client_of, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HTML = {"accept": "text/html"}


@pytest.fixture
def client(configuration: Configuration, database: Database, morning: Morning) -> Iterator[httpx.Client]:
    with client_of(build_app(configuration, database), **HTML) as client:
        yield client


def one_is_down(database: Database, morning: Morning) -> None:
    """The destination for which something waits has been failing for a while."""
    with Session(database) as session, session.begin():
        waiting = update(OutboxRow).where(OutboxRow.state == "waiting")
        session.execute(waiting.values(failing_since=morning.at(425)))


def test_the_overview_tells_of_every_study_and_why(client: httpx.Client, database: Database, morning: Morning) -> None:
    one_is_down(database, morning)
    page = client.get("/").text
    for told in (
        "needs at least 4 slices to interpolate between, found 3",
        "BodyPartExamined: HEAD instead of KNEE",
        "connection refused",
        "93 in an hour",  # 48 + 12 + 3 + 30 images
        "PACS-B at 10.1.2.3:104",
    ):
        assert told in page


def test_the_overview_tells_a_shadows_job_from_that_of_its_route(client: httpx.Client, database: Database) -> None:
    assert "in shadow" not in client.get("/").text
    with Session(database) as session, session.begin():
        job = session.scalars(select(JobRow).where(JobRow.state == "done")).first()
        assert job is not None
        job.shadow, route = True, job.route
    assert "in shadow" in client.get("/").text
    assert f"route {route}, " in client.get(f"/jobs/{1:032x}", follow_redirects=True).text


def test_the_overview_says_where_pipelines_run_without_a_box(configuration: Configuration, database: Database) -> None:
    unboxed = configuration.model_copy(update={"run": RunSettings(box="off")})
    with client_of(build_app(unboxed, database), **HTML) as client:
        assert "<b>run.box</b> off: pipelines run without a box" in client.get("/").text


def test_a_study_tells_its_decisions_clause_by_clause(client: httpx.Client) -> None:
    page = client.get("/studies/1.2.1").text
    for told in ("BodyPartExamined", "absent", "*knee*", "HD TR Knee PA", "1 of 2 hold", "20.0 s", "infer"):
        assert told in page
    assert page.count('class="fails"') == 1  # the body part; the coil told it


def test_a_study_that_cannot_be_decided_about_says_why_in_place_of_a_decision(
    client: httpx.Client, database: Database, morning: Morning
) -> None:
    why = "cannot be decided about for now: an image that was stored cannot be read: Input/output error"
    with Session(database) as session, session.begin():
        session.execute(update(StudyRow).where(StudyRow.study_instance_uid == "1.2.2").values(trouble=why))
    assert why in client.get("/").text
    page = client.get("/studies/1.2.2").text
    assert why in page
    assert ">undecided<" in page


def test_what_a_peer_wrote_turns_and_hides_nothing_on_the_page(
    client: httpx.Client, database: Database, morning: Morning
) -> None:
    clause = {"key": "SeriesDescription", "expected": "x", "found": "a\x1b[2J\u202eb\n\tc", "holds": False}
    with Session(database) as session, session.begin():
        morning.decision(session, "1.2.2", None, clause)
    page = client.get("/studies/1.2.2").text
    assert r"a\x1b[2J\u202eb\n\tc" in page
    assert escaped(page, keep="\n\t") == page


def test_what_a_peer_wrote_is_text_and_never_markup(client: httpx.Client, database: Database, morning: Morning) -> None:

    with Session(database) as session, session.begin():
        morning.decision(
            session,
            "1.2.2",
            None,
            {"key": "SeriesDescription", "expected": "x", "found": "<script>alert(1)</script>", "holds": False},
        )
    page = client.get("/studies/1.2.2").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_a_capture_is_a_picture_with_the_colours_of_the_object(client: httpx.Client) -> None:
    answer = client.get("/captures/1.2.9.1.png")
    assert answer.headers["content-type"] == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert picture.shape == (300, 600, 3)
    assert tuple(picture[150, 450]) == CAPTURE_RGB
    assert tuple(picture[150, 150]) == tuple(value // 2 for value in CAPTURE_RGB)
    small = Image.open(io.BytesIO(client.get("/captures/1.2.9.1.png?small").content))
    assert small.size == (480, 240)


def test_only_captures_in_the_data_folder_are_pictures(
    client: httpx.Client, database: Database, morning: Morning, tmp_path_factory: pytest.TempPathFactory
) -> None:

    assert client.get("/captures/1.2.9.2.png").status_code == 404  # a report
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "a.dcm"
    elsewhere.write_bytes((morning.data / f"jobs/{1:032x}/objects/1.2.9.1.dcm").read_bytes())
    with Session(database) as session, session.begin():
        session.execute(update(ObjectRow).where(ObjectRow.sop_instance_uid == "1.2.9.1").values(path=str(elsewhere)))
    assert client.get("/captures/1.2.9.1.png").status_code == 404


def test_a_capture_that_is_no_longer_kept_is_a_404(client: httpx.Client, morning: Morning) -> None:
    (morning.data / f"jobs/{1:032x}/objects/1.2.9.1.dcm").unlink()
    assert client.get("/captures/1.2.9.1.png").status_code == 404
    assert client.get("/studies/1.2.1").status_code == 200


def test_a_job_leads_to_its_study(client: httpx.Client) -> None:
    answer = client.get(f"/jobs/{3:032x}")
    assert answer.headers["location"] == f"/studies/1.2.3#job-{3:032x}"


@pytest.mark.parametrize("path", ["/studies/9.9", "/jobs/9", "/captures/9.png", "/nothing"])
def test_what_is_not_there_is_a_404(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404
    assert "<html" in client.get(path).text
    assert "<html" not in client.get(path, headers={"accept": "application/json"}).text


@pytest.mark.parametrize(
    "path",
    [
        "/captures/..%2f..%2fnode.db.png",
        "/captures/%2e%2e/x.png",
        "/static/..%2f..%2fpage.py",
        "/static/../page.py",
        "/static//etc/passwd",
        "/studies/..%2f..%2fmetrics",
        "/jobs/%0d%0aX:%201",
        "/studies/a%00b",
    ],
)
def test_no_path_leads_elsewhere(client: httpx.Client, path: str) -> None:
    server = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    with contextlib.closing(server):
        server.request("GET", path)  # as it stands: httpx would put it right
        answer = server.getresponse()
        assert answer.status in (404, 422)  # 422: a sign that no name has
        assert answer.getheader("X") is None


def test_no_secret_of_a_destination_is_shown(client: httpx.Client) -> None:
    page = client.get("/").text
    assert "pacs.example" in page
    assert "hunter2" not in page


@pytest.mark.parametrize("path", ["/", "/studies/1.2.1", "/metrics", "/health/ready", "/static/page.css"])
def test_nothing_is_loaded_from_elsewhere(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert " style=" not in answer.text


@pytest.mark.parametrize("path", ["/", "/studies/1.2.1", "/captures/1.2.9.1.png", "/studies/9.9", "/metrics"])
def test_nothing_that_tells_of_a_study_is_kept_by_a_browser_or_shown_within_another_page(
    client: httpx.Client, path: str
) -> None:
    headers = client.get(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


def test_an_answer_to_what_nobody_foresaw_has_the_headers_too(configuration: Configuration, database: Database) -> None:
    def broken() -> str | None:
        raise RuntimeError

    app = build_app(configuration, database, checks={"broken": broken})
    with client_of(app) as client:
        answer = client.get("/health/ready")
    assert (answer.status_code, answer.headers["cache-control"]) == (500, "no-store")


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_the_page_is_read_only(client: httpx.Client, method: str) -> None:
    assert getattr(client, method)("/").status_code == 405


def test_an_empty_node_says_how_to_begin(configuration: Configuration, database: Database) -> None:
    with client_of(build_app(configuration, database)) as client:
        page = client.get("/").text
    assert "Point a scanner at port 11112, AE title CONDYLE" in page
    assert "Nothing is running or waiting." in page


# ---- who may see it
PAGES = ["/", "/studies/1.2.1", f"/jobs/{3:032x}", "/captures/1.2.9.1.png"]


@pytest.mark.parametrize("path", PAGES)
def test_a_forwarded_request_is_not_from_this_machine(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code != 403
    refused = client.get(path, headers={"X-Forwarded-For": "10.1.2.3"})
    assert refused.status_code == 403
    assert (
        "Only this machine may, as the configuration sets no status.token_file and there is no user (" in refused.text
    )
    assert "has X-Forwarded-For, so somebody forwarded it; if " in refused.text
    assert "is a proxy of yours, name it in status.trusted_proxies" in refused.text


def test_with_a_token_the_browser_asks_for_it_and_health_does_not(
    configuration: Configuration, database: Database, morning: Morning
) -> None:
    status = StatusSettings.model_validate({"token": "0123456789abcdef"})
    with client_of(build_app(configuration.model_copy(update={"status": status}), database)) as client:
        for path in PAGES:
            refused = client.get(path)
            assert (refused.status_code, refused.headers["www-authenticate"][:5]) == (401, "Basic")
            assert client.get(path, auth=("anybody", "0123456789abcdef")).status_code in (200, 307)
            assert client.get(path, auth=("anybody", "")).status_code == 401
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert client.get(path).status_code == 200


# ---- in a browser
@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


@pytest.mark.browser
def test_a_browser_shows_the_page_and_leads_from_study_to_reason(
    configuration: Configuration, database: Database, morning: Morning, page: Page
) -> None:
    one_is_down(database, morning)
    with served(build_app(configuration, database)) as url:
        page.goto(url)
        assert page.locator(".badge.down").count() == 1
        page.locator('a[href="/studies/1.2.1"]').click()
        picture = page.locator(".pictures img").first
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("naturalWidth", 600)
        page.locator("#decisions summary").click()
        assert page.locator("li.fails .key").inner_text() == "BodyPartExamined"
        assert page.locator("#decisions li.holds .key").first.inner_text() == "Modality"


@pytest.mark.browser
def test_an_open_page_follows_the_node_by_itself(
    configuration: Configuration, database: Database, morning: Morning, page: Page
) -> None:
    one_is_down(database, morning)
    with served(build_app(configuration, database)) as url:
        page.goto(url)
        assert page.locator(".badge.down").count() == 1
        with Session(database) as session, session.begin():
            session.execute(update(OutboxRow).values(state="delivered", attempts=4, failing_since=None))
        expect(page.locator(".badge.down")).to_have_count(0, timeout=15_000)


@pytest.mark.browser
def test_what_is_unfolded_and_where_one_stands_stays_when_the_page_changes(
    configuration: Configuration, database: Database, morning: Morning, page: Page
) -> None:
    with served(build_app(configuration, database)) as url:
        page.goto(f"{url}/studies/1.2.4")
        page.locator("#way > summary").click()
        page.locator("#decisions summary").focus()
        page.evaluate("window.scrollTo(0, 200)")
        with Session(database) as session, session.begin():
            session.execute(update(JobRow).where(JobRow.study_instance_uid == "1.2.4").values(state="failed"))
        expect(page.locator("h1 + .badge")).to_have_text("failed", timeout=15_000)
        expect(page.locator("#news")).to_have_text("failed")
        assert page.locator("#way").evaluate("(one) => one.open")
        assert page.evaluate("document.activeElement.closest('details').id").startswith("decision-")
        assert page.evaluate("window.scrollY") == 200


@pytest.mark.browser
def test_on_a_phone_the_menu_unfolds_without_a_script(
    configuration: Configuration, database: Database, browser: Browser
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 700}, java_script_enabled=False)
    with served(build_app(configuration, database)) as url:
        page = context.new_page()
        page.goto(url)
        assert not page.locator("nav a", has_text="Studies").is_visible()
        page.get_by_role("button", name="Menu").click()
        page.locator("nav a", has_text="Studies").click()
        assert page.url == f"{url}/studies"
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_runs_over_the_edge_of_the_window(
    configuration: Configuration, database: Database, morning: Morning, page: Page, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    with served(build_app(configuration, database)) as url:
        for path in ("/", "/studies/1.2.1"):
            page.goto(url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
