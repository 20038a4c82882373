"""Somebody changes their own password and ends their own sessions, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from node.access.attempts import FREE_OF_NAME
from node.config import Configuration
from node.database.connection import Database
from node.status.pages.account import described
from tests.node.access.quick import PASSWORD
from tests.node.status.signing_in import Reader, alert, pages, with_people

NEW = "quite other words"


@pytest.fixture
def url(configuration: Configuration, database: Database) -> Iterator[str]:
    with_people(database)
    with pages(configuration, database) as url:
        yield url


@pytest.fixture
def reader(url: str) -> Iterator[Reader]:
    with Reader(url) as reader:
        reader.sign_in("vera")
        yield reader


def change(reader: Reader, current: str, new: str, again: str | None = None) -> httpx.Response:
    again = new if again is None else again
    return reader.submit("/account", "/account/password", current=current, new=new, again=again)


def test_a_new_password_holds_and_ends_the_other_sessions(url: str, reader: Reader) -> None:
    with Reader(url) as other:
        other.sign_in("vera")
        answer = change(reader, PASSWORD, NEW)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account?changed")
        assert "Your password is changed." in reader.get("/account?changed").text
        assert other.get("/account").status_code == 303
        assert other.sign_in("vera", PASSWORD).status_code == 422
        assert other.sign_in("vera", NEW).status_code == 303


def test_a_password_is_not_changed_without_the_present_one_twice_and_fit(reader: Reader) -> None:
    for current, new, again, told in (
        (PASSWORD, NEW, "something else", "The two new passwords differ."),
        (PASSWORD, "short", "short", "Not changed: the password has 5 characters; should have at least 12"),
        ("wrong words of mine", NEW, NEW, "Your present password is another one."),
    ):
        answer = change(reader, current, new, again)
        assert answer.status_code == 422
        assert alert(answer).startswith(told)
    for _ in range(FREE_OF_NAME - 1):
        change(reader, "wrong words of mine", NEW)
    answer = change(reader, PASSWORD, NEW)
    assert (answer.status_code, alert(answer)[:26]) == (429, "Too many attempts failed. ")


def test_one_sees_where_one_is_signed_in_and_ends_it(url: str, reader: Reader) -> None:
    with Reader(url) as other, Reader(url) as third, Reader(url) as otto:
        for one in (other, third):
            one.sign_in("vera")
        otto.sign_in("otto")
        page = reader.get("/account").text
        ends = [part.partition('"')[0] for part in page.split('action="')[1:] if "/end" in part.partition('"')[0]]
        assert len(ends) == 3  # of two others, and all but this one
        assert reader.submit("/account", ends[0]).status_code == 303
        assert [one.get("/account").status_code for one in (reader, third, other, otto)].count(303) == 1
        assert reader.submit("/account", "/account/sessions/end-others").status_code == 303
        assert [one.get("/account").status_code for one in (reader, third, other, otto)] == [200, 303, 303, 200]


def test_nobody_ends_the_session_of_somebody_else(url: str, reader: Reader) -> None:
    with Reader(url) as other, Reader(url) as otto:
        otto.sign_in("otto")
        other.sign_in("vera")
        path = next(
            part.partition('"')[0]
            for part in reader.get("/account").text.split('action="')
            if part[:18] == "/account/sessions/"
        )
        token = reader.token_of("/account", path)
        assert otto.post(path, data={"token": token}).status_code == 403  # a form of another session
        assert other.get("/account").status_code == 200
        assert otto.get(path).status_code == 405


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
            "Safari/537.36 Edg/140.0.0.0",
            "Edge on Windows",
        ),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "not named"),
    ],
)
def test_a_browser_is_named_as_people_call_it(agent: str, expected: str) -> None:
    assert described(agent) == expected
