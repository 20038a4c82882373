"""The configuration is read anew from the page: GET says what would change, POST has the node do it and tells."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from node.access.identity import Role, identity_of
from node.actions.reloading import ReloadActions
from node.errors import NodeError
from node.status.forms import NOT_OURS
from node.status.site import Site

PATH = "/reload"
BUTTON = "Reload"


class ReloadPage:
    """Its routes."""

    def __init__(self, site: Site, actions: ReloadActions) -> None:
        self._site, self._actions = site, actions

    def routes(self) -> list[BaseRoute]:
        """One address, to ask and to act."""
        return [
            Route(PATH, self._site.guarded(self._ask, Role.OPERATOR)),
            Route(PATH, self._site.taking_form(self._act, Role.OPERATOR), methods=["POST"]),
        ]

    def _ask(self, request: Request) -> Response:
        return self._site.quiet_page(
            request,
            "confirm.html",
            preview=self._actions.preview(),
            fields=(),
            typed={},
            button=BUTTON,
            title=BUTTON,
            back="/",
            token=self._site.form_token(request),
        )

    def _act(self, request: Request, typed: Mapping[str, str]) -> Response:
        """What became of it. No redirect: the answer is kept nowhere, and to send the form again does no harm."""
        if not self._site.is_ours(request, typed.get("token", "")):
            return self._site.sentence(request, HTTPStatus.FORBIDDEN, NOT_OURS)
        try:
            outcome = self._actions.reload(identity_of(request).name)
        except NodeError as error:
            return self._site.sentence(request, HTTPStatus.SERVICE_UNAVAILABLE, f"{error}.")
        status = HTTPStatus.OK if outcome.taken else HTTPStatus.UNPROCESSABLE_ENTITY
        return self._site.quiet_page(request, "reloaded.html", status, outcome=outcome)
