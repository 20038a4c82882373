"""What all pages share: who may see them, how they are rendered, the menu, and how a refusal looks."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.templating import Jinja2Templates

from node.access.callers import Callers, is_by_itself
from node.access.identity import Identity, Role, identity_of
from node.config import Configuration
from node.config.checks import the_box
from node.network.content_encoding import UnsuitableBody
from node.network.sign_in import UNAUTHORIZED, Refusal
from node.status.browser_guard import READING
from node.status.formats import FILTERS, clock, finalized
from node.status.forms import NOT_OURS, FormTokens, fields_of
from node.status.health import Health

HERE = Path(__file__).parent

View = Callable[[Request], Response | Awaitable[Response]]
FormView = Callable[[Request, Mapping[str, str]], Response]
GuardedView = Callable[[Request], Awaitable[Response]]
TOKEN = "token"  # the field of a form that says that the node gave it out


@dataclass(frozen=True)
class MenuEntry:
    """A page that the menu names."""

    path: str
    title: str
    role: Role = Role.VIEWER  # who sees it
    more: bool = False  # behind "More", where it is not alone there


MENU = (
    MenuEntry("/", "Now"),
    MenuEntry("/studies", "Studies"),
    MenuEntry("/routes", "Routes"),
    MenuEntry("/models", "Models"),
    MenuEntry("/failures", "Failures"),
    MenuEntry("/alerts", "Alerts"),
    MenuEntry("/import", "Import", Role.OPERATOR),
    MenuEntry("/reload", "Configuration", Role.OPERATOR, more=True),
    MenuEntry("/audit", "Audit", Role.ADMINISTRATOR, more=True),
    MenuEntry("/users", "Users", Role.ADMINISTRATOR, more=True),
    MenuEntry("/tokens", "Tokens", Role.ADMINISTRATOR, more=True),
)


class Site:
    """Renders pages, for those who may see them.

    Parameters
    ----------
    health
        Is told at the top of every page.
    callers
        Tells who is asking.
    """

    def __init__(self, configuration: Configuration, health: Health, callers: Callers) -> None:
        self._health, self.callers = health, callers
        self.data = configuration.node.data
        self._served: frozenset[str] = frozenset()
        self.forms = FormTokens(configuration.node.data)
        self.templates = Jinja2Templates(directory=HERE / "templates")
        self.templates.env.finalize = finalized
        self.templates.env.filters |= FILTERS
        self.templates.env.globals |= {
            "ae_title": configuration.node.ae_title,
            "institution": configuration.node.institution,
            "dicom_port": configuration.receive.dimse.port,
            "notices": [one for one in the_box(configuration) if one.state != "good"],
            "Role": Role,
        }

    def serves(self, routes: Iterable[BaseRoute]) -> None:
        """Name these in the menu, as far as they are of it: it leads to no page that is not there."""
        self._served = frozenset(route.path for route in routes if isinstance(route, Route))

    # ---- who may
    def guarded(self, view: View, role: Role = Role.VIEWER, *, form: bool = True) -> GuardedView:
        """The view, for those who have the role; it finds them by `identity_of`.

        What is posted has to be a form that the node gave out to the same session, for the same path: its template has
        ``<input type="hidden" name="token" value="{{ form_token() }}">``. The view finds the fields by `form_of`.

        Parameters
        ----------
        view
            Async, or else run in a thread.
        role
            That is needed.
        form
            Whether what is posted is a small form; else the view reads the body itself, and the token is the parameter
            ``token`` of the address.
        """

        async def guarded(request: Request) -> Response:
            refused = await run_in_threadpool(self.refusal, request, role)
            if refused is None and request.method not in READING:
                refused = await self._form_refusal(request, form=form)
            if refused is not None:
                return refused
            if inspect.iscoroutinefunction(view):
                return cast(Response, await view(request))
            return cast(Response, await run_in_threadpool(view, request))

        return guarded

    def taking_form(self, view: FormView, role: Role = Role.VIEWER) -> GuardedView:
        """The view of a small form that was posted, for those who have the role; run in a thread.

        It is given the fields, and looks itself whether the form is ours: by `is_ours`, for a purpose of its own.
        """

        async def guarded(request: Request) -> Response:
            refused = await run_in_threadpool(self.refusal, request, role)
            if refused is not None:
                return refused
            try:
                fields = await fields_of(request)
            except UnsuitableBody as problem:
                return self.sentence(request, problem.status, f"{problem.sentence}.")
            return await run_in_threadpool(view, request, fields)

        return guarded

    def refusal(self, request: Request, role: Role = Role.VIEWER) -> Response | None:
        """Why the caller may not, as an answer; None where they may."""
        identity = self.callers.identified(request)
        if isinstance(identity, Refusal):
            return self._not_signed_in(request, identity)
        request.state.identity = identity
        if not identity.may(role):
            return self.sentence(
                request, HTTPStatus.FORBIDDEN, f"This needs the role {role}; yours is {identity.role}."
            )
        return None

    def _not_signed_in(self, request: Request, refusal: Refusal) -> Response:
        """The way to sign in, or why there is none."""
        people = refusal.status == UNAUTHORIZED and self.callers.people_sign_in()
        if people and (page := request.headers.get("hx-current-url")) is not None:
            return PlainTextResponse(f"{refusal.sentence}.\n", refusal.status, {"HX-Redirect": sign_in_path(page)})
        wants_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
        if people and wants_page and not is_by_itself(request) and "authorization" not in request.headers:
            path = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
            return RedirectResponse(sign_in_path(path), HTTPStatus.SEE_OTHER)
        response = self.sentence(request, refusal.status, f"{refusal.sentence}.")
        if refusal.status == UNAUTHORIZED:
            by_token = 'Basic realm="Condyle: any name, the token as password"'
            response.headers["WWW-Authenticate"] = 'Bearer realm="Condyle"' if people else by_token
        return response

    # ---- forms
    def form_token(self, request: Request, *purpose: str) -> str:
        """What a form holds to be taken: of this purpose, by default the path of the page, and of this session."""
        return self.forms.token(*(purpose or (request.url.path,)), *_who(request))

    def is_ours(self, request: Request, token: str, *purpose: str) -> bool:
        """Whether the node gave a form with that token to this session, for this purpose."""
        return self.forms.is_ours(token, *(purpose or (request.url.path,)), *_who(request))

    async def _form_refusal(self, request: Request, *, form: bool) -> Response | None:
        """Why what is posted is not taken; None where it is."""
        try:
            fields = await fields_of(request) if form else dict(request.query_params)
        except UnsuitableBody as problem:
            return self.sentence(request, problem.status, f"{problem.sentence}.")
        if not await run_in_threadpool(self.is_ours, request, fields.get(TOKEN, "")):
            return self.sentence(request, HTTPStatus.FORBIDDEN, NOT_OURS)
        request.state.form = fields
        return None

    # ---- answers
    def page(
        self, request: Request, template: str, status: int = HTTPStatus.OK, *, live_s: int = 0, **content: Any
    ) -> Response:
        """A page, with what is wrong with the node at its top.

        Parameters
        ----------
        live_s
            How often a browser asks for it again and puts what has changed in place; 0: it does not.
        """
        well_being = {"problems": self._health.problems(), "remarks": self._health.remarks()}
        response = self._rendered(request, template, status, {**well_being, "live_s": live_s, **content})
        return _unless_known(request, response) if live_s else response

    def quiet_page(self, request: Request, template: str, status: int = HTTPStatus.OK, **content: Any) -> Response:
        """A page that asks no part how it is: a form, or one that is shown where the database is away."""
        return self._rendered(request, template, status, {"problems": {}, "remarks": {}, **content})

    def sentence(self, request: Request, status: int, sentence: str) -> Response:
        """A page of one sentence, or for a program that line alone."""
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse(f"{sentence}\n", status)
        return self.quiet_page(request, "plain.html", status, sentence=sentence)

    def _rendered(self, request: Request, template: str, status: int, content: dict[str, Any]) -> Response:
        identity: Identity | None = getattr(request.state, "identity", None)
        known = [entry for entry in MENU if entry.path in self._served]
        menu = [entry for entry in known if identity is not None and identity.may(entry.role)]
        shared = {
            "now": datetime.now(UTC),
            "identity": identity,
            "menu": menu,
            "form_token": partial(self.form_token, request),
        }
        return self.templates.TemplateResponse(request, template, {**shared, **content}, status_code=status)

    def not_found(self, request: Request, error: Exception) -> Response:
        """The answer where no such page is, or nothing of that name."""
        detail = error.detail if isinstance(error, HTTPException) else ""
        return self.sentence(request, 404, "There is no such page." if detail in ("", "Not Found") else detail)

    def no_database(self, request: Request, _error: Exception) -> Response:
        """The answer while the database is away."""
        return self.sentence(request, 503, "The node's database does not answer; the node's log says why.")


def _unless_known(request: Request, response: Response) -> Response:
    """The page, or word that it is as the browser has it (RFC 9110 13.1.2); the clock at its foot does not count."""
    now: datetime = response.context["now"]  # type: ignore[attr-defined]
    content = bytes(response.body).replace(f"as of {clock(now, now)}".encode(), b"")
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return response


def form_of(request: Request) -> Mapping[str, str]:
    """The fields that were posted; for views that are guarded by `Site.guarded`."""
    fields: Mapping[str, str] = request.state.form
    return fields


def sign_in_path(afterwards: str) -> str:
    """The page to sign in on, from which one goes on to that path of the node."""
    parts = urlsplit(afterwards)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return "/sign-in" if path in ("", "/") else f"/sign-in?next={quote(path, safe='/')}"


def _who(request: Request) -> tuple[str, str, str]:
    """In which session somebody asks; those without one are told apart by how they show who they are."""
    identity = identity_of(request)
    return identity.way, identity.name, identity.session
