"""The page of failures: filters, paging, and jobs of one fault that are restarted together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database
from node.errors import NodeError
from node.status.app import build_app
from node.status.pages.failures import ON_PAGE
from tests.axe import assert_accessible
from tests.browser import open_browser
from tests.node.status.conftest import Morning
from tests.serving import client_of, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REASON = "took longer than run.time_limit_s, 1800 s"


class Restarts:
    """Notes what was to be restarted."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.refuses: set[str] = set()

    def __call__(self, job: str, by: str) -> None:
        if job in self.refuses:
            raise NodeError("its images were rejected")
        self.done.append((job, by))


@pytest.fixture
def restarts() -> Restarts:
    return Restarts()


@pytest.fixture
def client(configuration: Configuration, morning: Morning, restarts: Restarts) -> Iterator[httpx.Client]:
    with client_of(build_app(configuration, morning.database, restart_job=restarts), accept="text/html") as client:
        yield client


def fail(morning: Morning, count: int, reason: str = REASON) -> list[str]:
    with Session(morning.database) as session, session.begin():
        return [morning.job(session, 100 + n, "1.2.1", "failed", 500 + n, reason=reason) for n in range(count)]


def test_a_fault_is_one_line_with_what_to_do_and_an_example(client: httpx.Client, morning: Morning) -> None:
    fail(morning, 3)
    page = client.get("/failures").text
    assert page.count("took longer than run.time_limit_s, N s") == 1
    assert "Raise run.time_limit_s" in page
    assert f'href="/jobs/{102:032x}"' in page
    assert "calling AE title is not in peers" in page
    assert "needs at least N slices" in page


def test_a_kind_is_shown_alone_and_a_wrong_filter_is_none(client: httpx.Client, morning: Morning) -> None:
    fail(morning, 1)
    page = client.get("/failures?kind=unsuitable+jobs&days=1").text
    assert "needs at least N slices" in page
    assert "run.time_limit_s, N s" not in page
    for query in ("kind=x", "days=x", "days=99", "page=x", "page=99999999", "kind=failed+jobs&days=1e9"):
        assert client.get(f"/failures?{query}").status_code == 200


def test_where_there_is_nothing_the_page_says_so(configuration: Configuration, database: Database) -> None:
    with client_of(build_app(configuration, database), accept="text/html") as client:
        assert "Nothing went wrong in the last 7 days." in client.get("/failures").text


def test_there_are_more_pages_where_there_is_too_much_for_one(client: httpx.Client, morning: Morning) -> None:
    with Session(morning.database) as session, session.begin():
        for number in range(ON_PAGE + 5):
            name = "".join(chr(ord("a") + int(digit)) for digit in str(number))
            morning.job(session, 1000 + number, "1.2.1", "failed", 500, reason=f"part {name} is broken")
    first, second = client.get("/failures?kind=failed+jobs"), client.get("/failures?kind=failed+jobs&page=1")
    assert first.text.count(" is broken</b>") == ON_PAGE
    assert second.text.count(" is broken</b>") == 5
    assert "page=1" in first.text


def asked(client: httpx.Client) -> dict[str, str]:
    (address,) = re.findall(r'href="(/failures/restart[^"]*)"', client.get("/failures").text)
    page = client.get(address.replace("&amp;", "&")).text
    assert "Restart 3 failed jobs?" in page
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))


def test_all_jobs_of_a_fault_are_restarted_after_a_confirmation(
    client: httpx.Client, morning: Morning, restarts: Restarts
) -> None:
    jobs = fail(morning, 3)
    restarts.refuses = {jobs[0]}
    answer = client.post("/failures/restart", data=asked(client), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/failures?days=7&restarted=2")
    assert {job for job, _ in restarts.done} == set(jobs[1:])
    assert {by for _, by in restarts.done} == {"this machine"}
    assert "2 restarted" in client.get(answer.headers["location"]).text


def test_nothing_is_restarted_by_a_form_of_others_or_of_a_fault_that_is_gone(
    client: httpx.Client, morning: Morning, restarts: Restarts
) -> None:
    jobs = fail(morning, 3)
    form = asked(client)
    assert client.post("/failures/restart", data={**form, "token": "0"}).status_code == 403
    assert client.get("/failures/restart?group=x").status_code == 404
    restarts.refuses = set(jobs)
    answer = client.post("/failures/restart", data=form)
    assert answer.status_code == 409
    assert "its images were rejected" in answer.text
    assert not restarts.done


def test_without_the_function_no_restart_is_offered(configuration: Configuration, morning: Morning) -> None:
    fail(morning, 1)
    with client_of(build_app(configuration, morning.database), accept="text/html") as client:
        assert "/failures/restart" not in client.get("/failures").text


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.mark.browser
def test_axe_finds_nothing(
    browser: Browser, configuration: Configuration, morning: Morning, restarts: Restarts
) -> None:
    fail(morning, 2)
    with served(build_app(configuration, morning.database, restart_job=restarts)) as url:
        assert_accessible(browser, f"{url}/failures")
