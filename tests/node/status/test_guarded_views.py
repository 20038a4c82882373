"""A guarded view is for those who have its role, and takes only what was posted with a form of the same session."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from node.access.callers import Callers
from node.access.identity import Role, Scope, identity_of
from node.access.passwords import Passwords
from node.access.users import Users
from node.access.users import identity_of as identity_of_user
from node.config import Configuration
from node.database.connection import Database
from node.status.health import Health
from node.status.overview import Overview
from node.status.site import Site, form_of, sign_in_path
from tests.node.access.quick import PASSWORD, QUICK
from tests.serving import served


def said(request: Request) -> Response:
    """Who did what."""
    return PlainTextResponse(f"{identity_of(request).name}: {form_of(request).get('what', '')}")


async def said_later(request: Request) -> Response:
    """The same, of a view that waits for something."""
    return said(request)


async def uploaded(request: Request) -> Response:
    """A view that reads the body itself."""
    return PlainTextResponse(str(len(await request.body())))


def token(request: Request) -> Response:
    """A form's token, by the path that it is sent to."""
    return PlainTextResponse(site_of(request).form_token(request, request.query_params["for"]))


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


@pytest.fixture
def callers(configuration: Configuration, database: Database) -> Callers:
    users = Users(database, Passwords(QUICK))
    for name, role in (("vera", Role.VIEWER), ("otto", Role.OPERATOR)):
        users.add(name, PASSWORD, role, "root")
    return Callers(configuration, database)


@pytest.fixture
def url(configuration: Configuration, database: Database, callers: Callers) -> Iterator[str]:
    site = Site(configuration, Health(configuration, database, Overview(database), {}, {}), callers)
    app = Starlette(
        routes=[
            Route("/token", site.guarded(token)),
            Route("/act", site.guarded(said, Role.OPERATOR), methods=["POST"]),
            Route("/later", site.guarded(said_later, Role.OPERATOR), methods=["POST"]),
            Route("/upload", site.guarded(uploaded, Role.OPERATOR, form=False), methods=["POST"]),
        ]
    )
    app.state.site = site
    with served(app) as url:
        yield url


def signed_in(url: str, callers: Callers, name: str) -> httpx.Client:
    user = callers.users.named(name)
    assert user is not None
    cookie = callers.sessions.begin(identity_of_user(user), "", "", password=user.password)
    assert cookie is not None
    return httpx.Client(base_url=url, cookies={"condyle-session": cookie})


@pytest.mark.parametrize("path", ["/act", "/later"])
def test_what_is_posted_needs_the_role_and_a_form_of_the_same_session_and_path(
    url: str, callers: Callers, path: str
) -> None:
    with signed_in(url, callers, "otto") as otto, signed_in(url, callers, "otto") as elsewhere:
        own = otto.get("/token", params={"for": path}).text
        assert otto.post(path, data={"token": own, "what": "restart"}).text == "otto: restart"
        for wrong in (
            "",
            "0" * 64,
            otto.get("/token", params={"for": "/other"}).text,
            elsewhere.get("/token", params={"for": path}).text,
        ):
            refused = otto.post(path, data={"token": wrong, "what": "restart"})
            assert (refused.status_code, "is not one that this node gave out" in refused.text) == (403, True)
    with signed_in(url, callers, "vera") as vera:
        own = vera.get("/token", params={"for": path}).text
        refused = vera.post(path, data={"token": own})
        assert (refused.status_code, refused.text) == (403, "This needs the role operator; yours is viewer.\n")
    assert httpx.post(f"{url}{path}", data={"token": own}).status_code == 401


def test_a_view_that_reads_the_body_itself_has_the_token_in_its_address(url: str, callers: Callers) -> None:
    with signed_in(url, callers, "otto") as otto:
        own = otto.get("/token", params={"for": "/upload"}).text
        assert otto.post("/upload", params={"token": own}, content=b"12345").text == "5"
        assert otto.post("/upload", params={"token": own[:-1]}, content=b"12345").status_code == 403
        assert otto.post("/upload", content=b"12345").status_code == 403


def test_a_token_that_a_browser_or_a_proxy_adds_by_itself_needs_the_form_too(url: str, callers: Callers) -> None:
    shown = {"authorization": f"Bearer {callers.api_tokens.new('proxy', [Scope.OPERATE], None, 'root')}"}
    assert httpx.post(f"{url}/act", data={"what": "restart"}, headers=shown).status_code == 403
    own = httpx.get(f"{url}/token", params={"for": "/act"}, headers=shown).text
    assert httpx.post(f"{url}/act", data={"token": own, "what": "go"}, headers=shown).text == "token proxy: go"


def test_the_way_to_sign_in_leads_back() -> None:
    assert sign_in_path("/") == "/sign-in"
    assert sign_in_path("http://node:8090/studies/1?page=2") == "/sign-in?next=/studies/1%3Fpage%3D2"
