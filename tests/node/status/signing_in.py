"""A node's pages with users, and browsers that sign in on them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from node.access.identity import Role
from node.access.passwords import Passwords
from node.access.users import Users
from node.config import Configuration, StatusSettings
from node.database.connection import Database
from node.status.app import build_app
from tests.node.access.quick import PASSWORD, QUICK
from tests.serving import served

PEOPLE = {"vera": Role.VIEWER, "otto": Role.OPERATOR, "anna": Role.ADMINISTRATOR}


def with_people(database: Database) -> Users:
    """Add a viewer, an operator and an administrator."""
    users = Users(database, Passwords(QUICK))
    for name, role in PEOPLE.items():
        users.add(name, PASSWORD, role, "root")
    return users


class Reader(httpx.Client):
    """Somebody with a browser; follows no redirect."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, headers={"accept": "text/html", "user-agent": "Firefox"}, timeout=30)

    def token_of(self, page: str, action: str | None = None) -> str:
        """The hidden token of the form on a page that is sent to `action`, by default to the page itself."""
        text = self.get(page).text
        form = text.partition(f'action="{action or page.partition("?")[0]}"')[2].partition("</form>")[0]
        found = re.search(r'name="token" value="(\w*)"', form)
        assert found is not None, text
        return found[1]

    def sign_in(self, name: str, password: str = PASSWORD, **more: str) -> httpx.Response:
        """Type name and password into the form."""
        form = {"token": self.token_of("/sign-in"), "name": name, "password": password, **more}
        return self.post("/sign-in", data=form)

    def submit(self, page: str, action: str | None = None, **fields: str) -> httpx.Response:
        """Send the form on a page."""
        token = self.token_of(page, action)
        return self.post(action or page, data={"token": token, **fields})


def alert(answer: httpx.Response) -> str:
    """What a page says went wrong."""
    found = re.search(r'role="alert"[^>]*>([^<]*)<', answer.text)
    return html.unescape(found[1]) if found else ""


@contextmanager
def pages(configuration: Configuration, database: Database, **status: Any) -> Iterator[str]:
    """The URL of a node's pages."""
    settings = StatusSettings.model_validate({**configuration.status.model_dump(exclude_unset=True), **status})
    with served(build_app(configuration.model_copy(update={"status": settings}), database)) as url:
        yield url
