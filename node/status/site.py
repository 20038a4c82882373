"""What all pages share: who may see them, how they are rendered, the menu, and how a refusal looks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.templating import Jinja2Templates

from node.access.identity import THIS_MACHINE, Identity, Role, identity_of
from node.config import Configuration
from node.config.checks import the_box
from node.network.sign_in import UNAUTHORIZED, sign_in_to_page
from node.status.formats import FILTERS, clock, finalized
from node.status.forms import FormTokens
from node.status.health import Health

HERE = Path(__file__).parent

View = Callable[[Request], Response]


@dataclass(frozen=True)
class MenuEntry:
    """A page that the menu names."""

    path: str
    title: str
    role: Role = Role.VIEWER  # who sees it


MENU = (
    MenuEntry("/", "Now"),
    MenuEntry("/studies", "Studies"),
    MenuEntry("/routes", "Routes"),
    MenuEntry("/models", "Models"),
    MenuEntry("/failures", "Failures"),
    MenuEntry("/alerts", "Alerts"),
    MenuEntry("/import", "Import", Role.OPERATOR),
    MenuEntry("/reload", "Configuration", Role.OPERATOR),
    MenuEntry("/audit", "Audit", Role.ADMINISTRATOR),
)


class Site:
    """Renders pages, for those who may see them.

    Parameters
    ----------
    health
        Is told at the top of every page.
    """

    def __init__(self, configuration: Configuration, health: Health) -> None:
        self._health = health
        self.data = configuration.node.data
        self._served: frozenset[str] = frozenset()
        self._sign_in = sign_in_to_page(configuration.status)
        self.forms = FormTokens(configuration.node.data)
        self.templates = Jinja2Templates(directory=HERE / "templates")
        self.templates.env.finalize = finalized
        self.templates.env.filters |= FILTERS
        self.templates.env.globals |= {
            "ae_title": configuration.node.ae_title,
            "institution": configuration.node.institution,
            "dicom_port": configuration.receive.dimse.port,
            "notices": [one for one in the_box(configuration) if one.state != "good"],
        }

    def serves(self, routes: Iterable[BaseRoute]) -> None:
        """Name these in the menu, as far as they are of it: it leads to no page that is not there."""
        self._served = frozenset(route.path for route in routes if isinstance(route, Route))

    # ---- who may
    def guarded(self, view: View, role: Role = Role.VIEWER) -> View:
        """The view, for those who have the role; it finds them by `identity_of`."""

        def guarded(request: Request) -> Response:
            refused = self.refusal(request, role)
            return view(request) if refused is None else refused

        return guarded

    def refusal(self, request: Request, role: Role = Role.VIEWER) -> Response | None:
        """Why the caller may not, as an answer; None where they may."""
        identity = self._identified(request)
        if isinstance(identity, Response):
            return identity
        request.state.identity = identity
        if not identity.may(role):
            return self.sentence(
                request, HTTPStatus.FORBIDDEN, f"This needs the role {role}; yours is {identity.role}."
            )
        return None

    def _identified(self, request: Request) -> Identity | Response:
        """Who is asking, or why they may not ask."""
        if (refusal := self._sign_in.refusal(request)) is None:
            return THIS_MACHINE
        response = self.sentence(request, refusal.status, f"{refusal.sentence}.")
        if refusal.status == UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="Condyle: any name, the token as password"'
        return response

    # ---- forms
    def form_token(self, request: Request, *purpose: str) -> str:
        """What a form holds to be taken: of this purpose, by default the path of the page, and of who was shown it."""
        return self.forms.token(*(purpose or (request.url.path,)), identity_of(request).name)

    def is_ours(self, request: Request, token: str, *purpose: str) -> bool:
        """Whether the node gave a form with that token to whoever sends it, for this purpose."""
        return self.forms.is_ours(token, *(purpose or (request.url.path,)), identity_of(request).name)

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
        shared = {"now": datetime.now(UTC), "identity": identity, "menu": menu}
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
