"""A token of a program is shown once, and is good for its scopes until it is revoked."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from node.config import Configuration
from node.database.connection import Database
from tests.node.status.signing_in import Reader, alert, pages, with_people


@pytest.fixture
def url(configuration: Configuration, database: Database) -> Iterator[str]:
    with_people(database)
    with pages(configuration, database) as url:
        yield url


@pytest.fixture
def anna(url: str) -> Iterator[Reader]:
    with Reader(url) as reader:
        reader.sign_in("anna")
        yield reader


def test_a_token_is_made_shown_once_used_and_revoked(url: str, anna: Reader) -> None:
    fields = {"name": "nightly", "scope-operate": "yes", "days": "30"}
    made = anna.submit("/tokens", **fields)
    found = re.search(r"condyle_[\w-]{43}", made.text)
    assert found is not None
    assert made.headers["cache-control"] == "no-store"
    assert found[0] not in anna.get("/tokens").text
    shown = {"authorization": f"Bearer {found[0]}"}
    assert httpx.get(f"{url}/", headers=shown).status_code == 200
    refused = httpx.get(f"{url}/users", headers=shown)
    assert (refused.status_code, refused.text) == (403, "This needs the role administrator; yours is operator.\n")
    assert anna.submit("/tokens", "/tokens/nightly/revoke").status_code == 303
    again = httpx.get(f"{url}/", headers=shown)
    assert (again.status_code, again.text) == (401, "That is no token of this node, or it holds no more.\n")


def test_what_is_not_fit_is_told(anna: Reader) -> None:
    for fields, told in (
        ({"name": "nightly", "days": "30"}, "Not made: a token needs a scope"),
        ({"name": "night ly", "scope-read": "yes"}, "Not made: 'night ly': is no name of a token"),
        ({"name": "nightly", "scope-read": "yes", "days": "soon"}, "Not made: 'soon': should be a whole number"),
    ):
        answer = anna.submit("/tokens", **fields)
        assert answer.status_code == 422
        assert alert(answer).startswith(told)
    assert "There are none." in anna.get("/tokens").text
