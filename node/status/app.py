"""The node's web application: pages, health, metrics, and what other parts answer on the same port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.access.callers import Callers
from node.config import Configuration
from node.database.connection import Database
from node.status.browser_guard import BrowserGuard
from node.status.connections import Connections
from node.status.health import Check, Health
from node.status.metrics import Metrics
from node.status.overview import Overview
from node.status.pages.account import AccountPage
from node.status.pages.now import NowPage
from node.status.pages.sign_in import SignInPages
from node.status.pages.study import StudyPages
from node.status.pages.tokens import TokenPages
from node.status.pages.users import UserPages
from node.status.pages.verdict import VerdictPage
from node.status.places import where
from node.status.site import Site

HERE = Path(__file__).parent

# Nothing is loaded from elsewhere, no style or script stands in a page itself, nothing of the page may be framed or
# shown in another page. No address of a study travels to other sites as a referrer; to the node itself one does, or
# browsers would not say of a form which page it comes from.
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
BY_TLS_ONLY = (b"strict-transport-security", b"max-age=31536000")  # RFC 6797; a year
NOT_KEPT = (b"cache-control", b"no-store")  # studies are shown, and nobody's disk is to keep them


def build_app(
    configuration: Configuration,
    database: Database,
    *,
    checks: Mapping[str, Check] | None = None,
    remarks: Mapping[str, Check] | None = None,
    more: Sequence[BaseRoute] = (),
    connections: Connections | None = None,
    callers: Callers | None = None,
) -> ASGIApp:
    """The node's web application.

    Parameters
    ----------
    configuration
        Names, places of destinations, and the data folder are shown; nothing secret is.
    database
        Of the node's records.
    checks
        By name, what else must work for `/health/ready`: a function that says why not, or None.
    remarks
        The same of what can wait, and of one way in among several: it is named there and on the page, and the node is
        ready all the same.
    more
        Routes of other parts that share the port, such as STOW-RS.
    connections
        Those to the port, for the metrics.
    callers
        Tells who is asking, here and in other parts.
    """
    connections = Connections() if connections is None else connections
    node, destinations = configuration.node, configuration.destinations
    overview = Overview(database, {name: where(of) for name, of in destinations.items()})
    health = Health(configuration, database, overview, checks or {}, remarks or {})
    callers = Callers(configuration, database) if callers is None else callers
    site = Site(configuration, health, callers)
    metrics = Metrics(database, node.data, configuration.receive.disk_floor_mb, connections)
    pages = (
        NowPage(site, configuration, database, overview, health),
        StudyPages(site, node.data, database, overview),
        VerdictPage(site, configuration, database, overview),
        SignInPages(site, configuration),
        AccountPage(site),
        UserPages(site),
        TokenPages(site),
    )
    app = Starlette(
        routes=[
            *(route for page in pages for route in page.routes()),
            *health.routes(),
            Route("/metrics", lambda request: _metrics(metrics, request)),
            Mount("/static", StaticFiles(directory=HERE / "static")),
            *more,
        ],
        exception_handlers={404: site.not_found, SQLAlchemyError: site.no_database},
    )
    # around all of it, so that answers to what nobody foresaw have the headers too
    headers = (*HEADERS, BY_TLS_ONLY) if configuration.status.tls else HEADERS
    return _WithHeaders(BrowserGuard(app, configuration.status, connections.refusals), headers)


def _metrics(metrics: Metrics, _request: Request) -> Response:
    return Response(metrics.text(), media_type="text/plain; version=0.0.4")


class _WithHeaders:
    """Adds headers to every answer, and `NOT_KEPT` to all but what the page is made of.

    Plain ASGI, so that the bodies of other parts' requests pass by untouched.
    """

    def __init__(self, app: ASGIApp, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = self._headers if scope.get("path", "").startswith("/static/") else (*self._headers, NOT_KEPT)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self._app(scope, receive, with_headers)
