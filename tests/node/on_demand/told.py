"""A server that is called back, on a real socket."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.fhir_peer import serving


@dataclass(frozen=True)
class Post:
    path: str  # and query
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Told:
    """Keeps what is posted, and answers as told, then 204; a context manager."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.posts = list(statuses), list[Post]()
        self._stack = ExitStack()

    def __enter__(self) -> Told:
        app = Starlette(routes=[Route("/{path:path}", self._take, methods=["POST", "OPTIONS"])])
        self.url = f"{self._stack.enter_context(serving(app))}/hook"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def _take(self, request: Request) -> Response:
        if request.method == "POST":
            where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            self.posts.append(Post(where, dict(request.headers), await request.body()))
        status = self.statuses.pop(0) if self.statuses else 204
        return Response(status_code=status, headers={"Location": "/elsewhere"} if status == 302 else None)
