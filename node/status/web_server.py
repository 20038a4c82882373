"""The web server of the status page and of everything else that is asked by HTTP.

A client has a limited time for a whole request line and headers, and must make progress with a body and in taking its
answer; how large either is does not matter. What the node itself takes for an answer is never held against the client.
A body that goes on after its answer is passed over for as long as one that stands still.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
import time
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from node.config import Tls
from node.network.tls import server_context
from node.status.connections import Connection, Connections, Door, Stage

PATIENCE_S = 2  # for requests under way at the end
IDLE_S = 5  # between two requests of one connection
REQUEST_S = 20.0  # for request line and headers, and before them for the TLS handshake
PROGRESS_S = 30.0  # in which a body, or an answer, must have gone on by
PROGRESS_BYTES = 30 * 1024
LONGEST_COMMON_NAME = 64  # of a certificate, RFC 5280 A.1
WAITING_TO_BE_ACCEPTED = 128  # as many may be accepted in one round, before those that made room are gone
TOO_SLOW = f"Less than {PROGRESS_BYTES // 1024} kB of the body came in {PROGRESS_S:g} seconds"
TWO_LENGTHS = "The request has a Content-Length and a Transfer-Encoding, and may have one of them only (RFC 9112 6.3)"
MADE_ROOM = "More requests came in at a time than there is room for, and this was the slowest: send it again"


class WebServer(threading.Thread):
    """Serves an application on a socket that is open already, so that a busy port is noticed before anything starts.

    Parameters
    ----------
    app
        An ASGI application.
    listening
        The socket; it is closed by `stop`.
    tls
        The server's certificate; without it, plain HTTP.
    connections
        The limits of connections.
    """

    def __init__(
        self, app: ASGIApp, listening: socket.socket, tls: Tls | None = None, connections: Connections | None = None
    ) -> None:
        super().__init__(name="web server", daemon=True)
        context = server_context(tls) if tls else None
        connections = Connections() if connections is None else connections
        self._socket = listening
        self._door = Door(listening, connections)
        self._server = _Server(
            uvicorn.Config(
                _OneLength(app, connections),
                http=functools.partial(_Protocol, connections),  # type: ignore[arg-type]
                loop="asyncio",  # another one, which may be installed too, would not ask the door
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # `node.network.sign_in` knows whom to believe
                lifespan="off",
                backlog=WAITING_TO_BE_ACCEPTED,
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=PATIENCE_S,
                ssl_context_factory=(lambda *_: context) if context else None,
            ),
            connections,
        )

    def run(self) -> None:
        """Serve until `stop`."""
        self._server.run(sockets=[self._door])

    def stop(self) -> None:
        """Answer the requests under way, then end."""
        self._server.should_exit = True
        self.join()
        self._door.close()
        self._socket.close()


class _OneLength:
    """Passes on requests whose length is told in one way; a proxy before the node may go by the other.

    What the proxy takes for the next request, or for the rest of this one, is not read: the connection ends.
    """

    def __init__(self, app: ASGIApp, connections: Connections) -> None:
        self._app, self._connections = app, connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if "content-length" not in headers or "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        self._connections.refusals.add("length told in two ways")
        await PlainTextResponse(f"{TWO_LENGTHS}.\n", 400, {"Connection": "close"})(scope, receive, send)


class _Server(uvicorn.Server):
    """Looks once a second at who is too slow."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            for protocol in list(self.server_state.connections):
                if isinstance(protocol, _Protocol):
                    protocol.look(time.monotonic())
            self._connections.cut_handshakes(REQUEST_S)
            self._connections.refusals.tell()
        return await super().on_tick(counter)


class _Protocol(H11Protocol):
    """HTTP/1.1 with limits of time."""

    def __init__(self, connections: Connections, /, **more: Any) -> None:
        super().__init__(**more)
        self._connections = connections
        # what is waited for, in which request of the connection, and whether that has its answer
        self._doing: tuple[Stage, object, bool] = ("request", None, False)
        self._since = time.monotonic()
        self._moved = 0  # bytes since `_since`
        self._unsent = 0
        self._connection: Connection | None = None  # None: it is closed already

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if certificate := transport.get_extra_info("peercert"):
            self.app_state = {**self.app_state, "certificate": _common_name(certificate)}
        self._connection = self._connections.of(transport.get_extra_info("socket").fileno())
        if self._connection is not None:
            self._connection.say_why = functools.partial(self._refuse_body, 503, MADE_ROOM)
            self._connections.begins(self._connection, "request", 0)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._note(moved=len(data))

    def resume_writing(self) -> None:
        super().resume_writing()
        self._note(moved=PROGRESS_BYTES)  # a buffer of about that size has gone out

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note()

    def look(self, now: float) -> None:
        """Close the connection if its client takes too long."""
        self._note(now)
        stage, _, answered = self._doing
        limit = REQUEST_S if stage == "request" else PROGRESS_S
        if stage == "at work" or now - self._since < limit:
            return
        if stage != "request" and self._moved >= PROGRESS_BYTES and not answered:
            self._since, self._moved = now, 0
            return
        if stage != "request" and not answered:
            self._connections.refusals.add("too slow")
        elif stage == "request" and self.conn.trailing_data[0]:  # nobody needs to hear of those opened ahead of time
            self._connections.refusals.add("no whole request in time")
        if stage == "answer":
            self.transport.abort()
            return
        self._refuse_body(408, TOO_SLOW)
        self.transport.close()

    def _note(self, now: float | None = None, moved: int = 0) -> None:
        """Note what the connection is at, since when, and that so many bytes more have come or gone."""
        unsent = self.transport.get_write_buffer_size()
        moved += max(0, self._unsent - unsent)
        self._unsent = unsent
        doing = (self._stage(), self.cycle, self.conn.our_state in (h11.DONE, h11.MUST_CLOSE))
        if changed := doing != self._doing:
            self._doing, self._since, self._moved = doing, time.monotonic() if now is None else now, 0
        self._moved += moved
        if self._connection is not None:
            self._connection.moved += moved
            if changed:
                self._connections.begins(self._connection, doing[0], moved)

    def _stage(self) -> Stage:
        if self.transport.get_write_buffer_size():
            return "answer"
        if self.conn.their_state is h11.SEND_BODY and not self.flow.read_paused:
            return "body"
        return "request" if self.conn.their_state is h11.IDLE else "at work"

    def _refuse_body(self, status: int, sentence: str) -> None:
        """Tell the client, where a body is on its way that has no answer yet; the application is told that it ended."""
        if self._stage() != "body" or self.transport.is_closing() or self.conn.our_state is not h11.SEND_RESPONSE:
            return
        self.cycle.disconnected = True  # the application is not to answer too
        self.cycle.message_event.set()
        content = f"{sentence}.\n".encode()
        headers = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(content)))]
        reason = HTTPStatus(status).phrase.encode()
        for event in (
            h11.Response(status_code=status, headers=[*headers, ("connection", "close")], reason=reason),
            h11.Data(data=content),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")


def _common_name(certificate: dict[str, Any]) -> str:
    """Whom a client's certificate names, as the `ssl` module has read it."""
    subject = {key: value for pair in certificate.get("subject", ()) for key, value in pair}
    return str(subject.get("commonName", ""))[:LONGEST_COMMON_NAME]
