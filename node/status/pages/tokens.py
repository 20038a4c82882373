"""Tokens of programs, for administrators: made, shown once, and revoked."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.access.api_tokens import holds
from node.access.identity import Role, Scope, identity_of
from node.access.users import NotDone
from node.status.site import Site, form_of

DAYS = 365  # that a token holds, where nothing else is typed


class TokenPages:
    """Their routes."""

    def __init__(self, site: Site) -> None:
        self._site, self._tokens = site, site.callers.api_tokens

    def routes(self) -> list[BaseRoute]:
        """Of the list, and of making and revoking one."""
        guarded = self._site.guarded
        return [
            Route("/tokens", guarded(self._list, Role.ADMINISTRATOR)),
            Route("/tokens", guarded(self._make, Role.ADMINISTRATOR), methods=["POST"]),
            Route("/tokens/{name}/revoke", guarded(self._revoke, Role.ADMINISTRATOR), methods=["POST"]),
        ]

    def _list(self, request: Request) -> Response:
        return self._page(request)

    def _page(self, request: Request, problem: str = "", status: int = HTTPStatus.OK, made: str = "") -> Response:
        return self._site.quiet_page(
            request,
            "tokens.html",
            status,
            tokens=self._tokens.all(),
            holds=holds,
            problem=problem,
            typed=form_of(request) if problem else {},
            made=made,
            scopes=list(Scope),
            days=DAYS,
        )

    def _make(self, request: Request) -> Response:
        fields = form_of(request)
        try:
            days = _days_in(fields.get("days", ""))
            scopes = [scope for scope in Scope if f"scope-{scope}" in fields]
            made = self._tokens.new(fields.get("name", "").strip(), scopes, days, identity_of(request).name)
        except NotDone as error:
            return self._page(request, f"Not made: {error}.", HTTPStatus.UNPROCESSABLE_ENTITY)
        return self._page(request, made=made)  # no redirect: the token is in this answer alone

    def _revoke(self, request: Request) -> Response:
        try:
            self._tokens.revoke(request.path_params["name"], identity_of(request).name)
        except NotDone as error:
            return self._page(request, f"Not revoked: {error}.", HTTPStatus.UNPROCESSABLE_ENTITY)
        return RedirectResponse("/tokens", HTTPStatus.SEE_OTHER)


def _days_in(text: str) -> int | None:
    """How long a token is to hold; None where nothing is typed."""
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise NotDone(f"{text!r}: should be a whole number of days, or nothing for a token without an end") from None
