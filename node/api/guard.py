"""Who may ask what of the API: looked at before anything of a request's body is read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from node.access.identity import Role
from node.api.parts import parts_of
from node.api.problems import FAILED, Refused, problem
from node.errors import NodeError
from node.network.content_encoding import UnsuitableBody
from node.network.request_body import body_of
from node.network.sign_in import UNAUTHORIZED, Refusal
from node.status.browser_guard import READING

log = logging.getLogger(__name__)

LARGEST_BODY = 2 * 2**20  # bytes; routes are some kilobytes
ROLE = "x-role"  # in the OpenAPI document: who may
STREAMS = "x-streams"  # the endpoint reads the body itself
BY_A_SCRIPT = "x-requested-with"
NO_SCRIPT = (
    "What changes something is taken with the header X-Requested-With, or with a token as a bearer and not from a "
    "browser: no page of others can send that"
)
VIEWER, OPERATOR, ADMINISTRATOR = ({ROLE: role.value} for role in Role)


class _BoundRequest(Request):
    """Its body is taken up to a size, and unpacked."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = b"".join([piece async for piece in body_of(self, LARGEST_BODY)])
        return self._body


class GuardedRoute(APIRoute):
    """An endpoint for those who have the role that its `openapi_extra` names; by default viewers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint, with a look at who is asking before it."""
        answer, extra = super().get_route_handler(), self.openapi_extra or {}
        role = Role(extra.get(ROLE, Role.VIEWER))
        known = {field.alias for field in self.dependant.query_params}

        async def guarded(request: Request) -> Response:
            await run_in_threadpool(_require, request, role)
            for name in request.query_params:
                if name not in known:
                    there = ", ".join(sorted(known)) or "none"
                    raise Refused(422, f"query: {name[:40]!r}: no such parameter; there are: {there}")
            if not extra.get(STREAMS):
                request = _BoundRequest(request.scope, request.receive)
                await request.body()
            try:
                return await answer(request)
            except (NodeError, HTTPException, Refused, UnsuitableBody):
                raise
            except ValueError as error:
                if type(error).__name__ != "ResponseValidationError":
                    raise
                log.exception("the API answered in another form than it says")
                return problem(HTTPStatus.INTERNAL_SERVER_ERROR, FAILED)

        return guarded


def _require(request: Request, role: Role) -> None:
    """Note who is asking, or raise `Refused`."""
    found = parts_of(request).callers.identified(request)
    if isinstance(found, Refusal):
        headers = {"WWW-Authenticate": 'Bearer realm="Condyle"'} if found.status == UNAUTHORIZED else None
        raise Refused(found.status, found.sentence, headers)
    if not found.may(role):
        raise Refused(HTTPStatus.FORBIDDEN, f"This needs the role {role}; yours is {found.role}")
    if request.method not in READING and not _is_by_a_program(request):
        raise Refused(HTTPStatus.FORBIDDEN, NO_SCRIPT)
    request.state.identity = found


def _is_by_a_program(request: Request) -> bool:
    """Whether no page of others can have had it sent: a browser adds cookies and certificates to what such pages send,
    and a proxy may add tokens, but none adds this header.
    """
    headers = request.headers
    if BY_A_SCRIPT in headers:
        return True
    is_browser = any(name in headers for name in ("origin", "sec-fetch-site", "cookie"))
    return headers.get("authorization", "").lower().startswith("bearer ") and not is_browser
