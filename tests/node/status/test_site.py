"""What all pages share: the menu leads to pages that are there, and a page that has not changed is not sent again."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from node.config import Configuration
from node.database.connection import Database
from node.status.app import build_app
from node.status.site import MENU
from tests.node.status.conftest import Morning
from tests.serving import client_of


@pytest.fixture
def client(configuration: Configuration, database: Database, morning: Morning) -> Iterator[httpx.Client]:
    with client_of(build_app(configuration, database), accept="text/html") as client:
        yield client


def test_every_page_that_the_menu_names_is_there(client: httpx.Client) -> None:
    page = client.get("/").text
    named = [entry.path for entry in MENU if f'<a href="{entry.path}"' in page.partition("<main")[0]]
    assert {"/", "/studies"} <= set(named)
    assert [client.get(path).status_code for path in named] == [200] * len(named)


def test_the_menu_says_where_one_is(client: httpx.Client) -> None:
    assert '<a href="/studies" aria-current="page">' in client.get("/studies?state=done").text
    assert '<a href="/studies" aria-current="true">' in client.get("/studies/1.2.1").text
    assert '<a href="/" aria-current="page">' in client.get("/").text
    assert 'href="/" aria-current' not in client.get("/studies").text


@pytest.mark.parametrize("path", ["/", "/studies", "/studies/1.2.1", "/studies/9.9", f"/jobs/{4:032x}"])
def test_a_page_has_one_heading_of_the_first_rank_and_no_style_or_script_of_its_own(
    client: httpx.Client, path: str
) -> None:
    page = client.get(path, follow_redirects=True).text
    assert page.count("<h1") == 1
    assert ' style="' not in page
    assert "<style" not in page
    assert page.count("<script") == page.count('<script src="/static/')


def test_a_live_page_that_has_not_changed_is_not_sent_again(client: httpx.Client) -> None:
    first = client.get("/studies/1.2.4")  # its objects are being sent
    tag = first.headers["etag"]
    again = client.get("/studies/1.2.4", headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get("/studies/1.2.4", headers={"if-none-match": 'W/"other"'}).status_code == 200


def test_a_page_on_which_nothing_goes_on_is_not_asked_for_again(client: httpx.Client) -> None:
    assert 'hx-trigger="every' in client.get("/studies/1.2.4").text
    done = client.get("/studies/1.2.1")
    assert ('hx-trigger="every' in done.text, "etag" in done.headers) == (False, False)
