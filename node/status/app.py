"""The node's web application: pages, health, metrics, and what other parts answer on the same port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote_plus

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.access.callers import Callers
from node.actions.desk import Actions
from node.config import Configuration
from node.database.connection import Database
from node.reading import HERE, Reader
from node.status.browser_guard import BrowserGuard
from node.status.connections import Connections
from node.status.forms import HAS_NUL, NUL
from node.status.health import Check, Health
from node.status.metrics import Metrics
from node.status.overview import Overview
from node.status.pages.account import AccountPage
from node.status.pages.actions import NOTICES, confirmations
from node.status.pages.alerts import AlertsPage
from node.status.pages.audit import AuditPage
from node.status.pages.confirmations import ConfirmationPages
from node.status.pages.failures import FailuresPage, RestartJob
from node.status.pages.imports import ImportPage
from node.status.pages.models import ModelPages
from node.status.pages.now import NowPage, Workers
from node.status.pages.reload import ReloadPage
from node.status.pages.route_trial import ApplyRoutes, RouteTrialPage
from node.status.pages.routes import RoutesPage
from node.status.pages.sign_in import SignInPages
from node.status.pages.studies import StudiesPage
from node.status.pages.study import StudyPages
from node.status.pages.tokens import TokenPages
from node.status.pages.users import UserPages
from node.status.pages.verdict import VerdictPage
from node.status.site import Site

STOP_PATIENCE_S = 2.0
STATIC = Path(__file__).with_name("static")

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
    actions: Actions | None = None,
    config_file: Path | None = None,
    apply_routes: ApplyRoutes | None = None,
    restart_job: RestartJob | None = None,
    paused_routes: Callable[[], Mapping[str, str]] | None = None,
    workers: Workers = tuple,
    reader: Reader = HERE,
    callers: Callers | None = None,
) -> WebApp:
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
    actions
        What operators may do from the page; None: it shows only.
    config_file
        The configuration, whose routes can be changed by way of trial; None: the page has no trial of routes.
    apply_routes
        Puts other routes in force: the text of the section, who says so, and the digest of the file that they were made
        for; None: the page offers no such thing.
    restart_job
        Has a failed job run again: its id, and who says so; None: the page offers no such thing.
    paused_routes
        By name: who paused a route, and why; None: none can be.
    workers
        What each inference process is at.
    reader
        Reads headers of stored images; and images and reports that name patients, for those who may see them.
    callers
        Tells who is asking, here and in other parts.
    """
    connections = Connections() if connections is None else connections
    overview = Overview(database, configuration.run.workers)
    health = Health(configuration, database, overview, checks or {}, remarks or {})
    callers = Callers(configuration, database) if callers is None else callers
    site = Site(configuration, health, callers)
    metrics = Metrics(configuration, database, connections, health.answers)
    pages = (
        NowPage(site, configuration, database, health, workers, acts=actions is not None),
        StudiesPage(site, configuration, database),
        StudyPages(site, configuration, database, overview, reader),
        VerdictPage(site, configuration, database, overview),
        ModelPages(site, configuration, database, workers),
        FailuresPage(site, configuration, database, restart_job),
        RoutesPage(site, configuration, database, paused=paused_routes, tries=config_file is not None),
        AlertsPage(site, configuration, database),
        AuditPage(site, database),
        SignInPages(site, configuration),
        AccountPage(site),
        UserPages(site),
        TokenPages(site),
    )
    # what acts before what shows, whose addresses may take in more
    served = [*_routes_of_actions(site, actions, database)] if actions is not None else []
    served += [route for page in pages for route in page.routes()]
    ending: list[Callable[[float], object]] = []
    if config_file is not None:
        trial = RouteTrialPage(site, configuration, database, config_file, reader, apply_routes)
        served += trial.routes()
        ending.append(trial.stop)
    site.serves(served)
    app = Starlette(
        routes=[
            *served,
            *health.routes(),
            Route("/metrics", lambda request: _metrics(metrics, request)),
            Mount("/static", StaticFiles(directory=STATIC)),
            *more,
        ],
        exception_handlers={404: site.not_found, SQLAlchemyError: site.no_database},
    )
    # around all of it, so that answers to what nobody foresaw have the headers too
    headers = (*HEADERS, BY_TLS_ONLY) if configuration.status.tls else HEADERS
    guarded = BrowserGuard(_OfText(app), configuration.status, connections.refusals)
    return WebApp(_WithHeaders(guarded, headers), ending)


def _routes_of_actions(site: Site, actions: Actions, database: Database) -> Iterator[BaseRoute]:
    """What operators may do."""
    site.templates.env.globals["notices_of_actions"] = NOTICES
    for page in (
        ConfirmationPages(site, confirmations(actions)),
        ReloadPage(site, actions.reload),
        ImportPage(site, actions.upload, database),
    ):
        yield from page.routes()


def _metrics(metrics: Metrics, _request: Request) -> Response:
    return Response(metrics.text(), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})


class WebApp:
    """An application, and what ends with it.

    Plain ASGI.

    Parameters
    ----------
    ending
        Each ends something that pages do in the background, and waits for it for so many seconds.
    """

    def __init__(self, app: ASGIApp, ending: Sequence[Callable[[float], object]] = ()) -> None:
        self._app, self._ending = app, ending

    def stop(self, timeout_s: float) -> None:
        """End what its pages do in the background."""
        for end in self._ending:
            end(timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class Replaceable:
    """An application that can be replaced by another while it serves; requests under way end in the one they began in.

    Plain ASGI.
    """

    def __init__(self, app: WebApp) -> None:
        self._app = app

    def put(self, app: WebApp) -> None:
        """Have the next request answered by this application; what the one before did in the background ends."""
        before, self._app = self._app, app
        before.stop(timeout_s=0.0)  # whoever reloads waits for no series that is being read

    def stop(self) -> None:
        """End what is done in the background."""
        self._app.stop(STOP_PATIENCE_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _OfText:
    """Refuses addresses that hold a NUL: a database takes it in no text, and would seem to be away.

    The answer is a problem (RFC 9457), as the API declares it; people who read pages write no such address. Plain ASGI.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (
            NUL in scope["path"] or NUL in unquote_plus(scope["query_string"].decode("latin-1"))
        ):
            status = HTTPStatus.UNPROCESSABLE_ENTITY
            problem = {"type": "about:blank", "title": status.phrase, "status": status}
            problem["detail"] = f"The address {HAS_NUL}."
            await JSONResponse(problem, status, media_type="application/problem+json")(scope, receive, send)
            return
        await self._app(scope, receive, send)


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
