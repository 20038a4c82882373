"""What the API answers where it does not do what is asked: problems (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from node.alerts.operations import NoSuchName
from node.errors import JobNotFound, NodeError, PeerRefused, PeerUnavailable, StudyNotFound
from node.network.content_encoding import UnsuitableBody

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
NO_DATABASE = "The node's database does not answer; the node's log says why."
FAILED = "The node could not do it; its log says why."
STATUSES = {JobNotFound: 404, StudyNotFound: 404, NoSuchName: 404, PeerUnavailable: 502, PeerRefused: 502}
"""Of errors; any other that the node raises on purpose says that it cannot be done as things are: 409."""

WHAT = {
    400: "The body cannot be read.",
    401: "Nobody has signed in.",
    403: "Whoever asks may not.",
    404: "There is no such thing.",
    409: "It cannot be done as things are; `detail` says why.",
    413: "The body is too large.",
    415: "The body is of another kind than is taken.",
    422: "The request is not as this document says; `detail` says where.",
    500: "The node failed; its log says how.",
    502: "A server that the node asked did not do it.",
    503: "The database does not answer.",
    507: "The disk has no room for it.",
}


class Problem(BaseModel):
    """Why something is not done (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class Refused(Exception):
    """Something is not done; the status says of what kind that is."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer."""
    told = Problem(title=HTTPStatus(status).phrase, status=status, detail=sentence(detail))
    return JSONResponse(told.model_dump(), status, headers, MEDIA_TYPE)


def sentence(text: str) -> str:
    """An error's words as a sentence."""
    return text if not text or text.endswith((".", "?")) else f"{text[0].upper()}{text[1:]}."


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of these answers."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {status: {"description": WHAT[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


ALWAYS = (400, 401, 403, 404, 409, 413, 415, 422, 500, 502, 503)


def handle(api: FastAPI) -> None:
    """Have every error answered by a problem."""
    api.add_exception_handler(Refused, _refused)
    api.add_exception_handler(NodeError, _node_error)
    api.add_exception_handler(UnsuitableBody, _unsuitable)
    api.add_exception_handler(RequestValidationError, _not_as_declared)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(SQLAlchemyError, _no_database)


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem(error.status, error.detail, error.headers)


def _node_error(_request: Request, error: Exception) -> Response:
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), HTTPStatus.CONFLICT)
    return problem(status, str(error))


def _unsuitable(_request: Request, error: Exception) -> Response:
    assert isinstance(error, UnsuitableBody)
    return problem(error.status, error.sentence)


def _not_as_declared(_request: Request, error: Exception) -> Response:
    """Where a request is wrong; never with what it says there, which may name a patient or be a password."""
    assert isinstance(error, RequestValidationError)
    told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(told))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # an endpoint knows its own method only
        headers["Allow"] = ", ".join(_methods(request))
    return problem(error.status_code, str(error.detail), headers)


def _methods(request: Request) -> list[str]:
    """What may be asked of the address."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    endpoints: Iterable[APIRoute] = request.app.state.endpoints
    return sorted({method for one in endpoints if one.path_regex.match(path) for method in one.methods or ()})


def _no_database(_request: Request, error: Exception) -> Response:
    log.warning("the API has no database", extra={"error": type(error).__name__})
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, NO_DATABASE)
