"""The web server of the status page and of everything else that is asked by HTTP.

A client has a limited time for a whole request line and headers, and must make progress with a body and in taking its
answer; how large either is does not matter. What the node itself takes for an answer is never held against the client.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
import time
from typing import Any, Literal

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from node.config import Tls
from node.network.tls import server_context
from node.status.connections import Connection, Connections, Door

PATIENCE_S = 2  # for requests under way at the end
IDLE_S = 5  # between two requests of one connection
REQUEST_S = 20.0  # for request line and headers, and before them for the TLS handshake
PROGRESS_S = 30.0  # in which a body, or an answer, must have gone on by
PROGRESS_BYTES = 30 * 1024
WAITING_TO_BE_ACCEPTED = 128  # as many may be accepted in one round, before those that made room are gone
TOO_SLOW = f"Less than {PROGRESS_BYTES // 1024} kB of the body came in {PROGRESS_S:g} seconds.\n".encode()

Stage = Literal["request", "body", "answer", "ours"]


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
        self, app: object, listening: socket.socket, tls: Tls | None = None, connections: Connections | None = None
    ) -> None:
        super().__init__(name="web server", daemon=True)
        context = server_context(tls) if tls else None
        connections = Connections() if connections is None else connections
        self._socket = listening
        self._door = Door(listening, connections)
        self._server = _Server(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
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
        self._doing: tuple[Stage, object] = ("request", None)  # and which request of the connection it is about
        self._since = time.monotonic()
        self._received = self._moved = 0  # bytes in, and progress since `_since`
        self._unsent = 0
        self._connection: Connection | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._connection = self._connections.of(transport.get_extra_info("socket").fileno())
        self._note()

    def data_received(self, data: bytes) -> None:
        self._moved += len(data)
        super().data_received(data)
        self._note()

    def resume_writing(self) -> None:
        self._moved += PROGRESS_BYTES  # a buffer of about that size has gone out
        super().resume_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note()

    def look(self, now: float) -> None:
        """Close the connection if its client takes too long."""
        self._note(now)
        stage = self._doing[0]
        limit = REQUEST_S if stage == "request" else PROGRESS_S
        if stage == "ours" or now - self._since < limit:
            return
        unsent = self.transport.get_write_buffer_size()
        moved = self._moved + max(0, self._unsent - unsent)
        if stage != "request" and moved >= PROGRESS_BYTES:
            self._since, self._moved, self._unsent = now, 0, unsent
            return
        if stage != "request":
            self._connections.refusals.add("too slow")
        elif self.conn.trailing_data[0]:  # browsers open connections ahead of time; nobody needs to hear of those
            self._connections.refusals.add("no whole request in time")
        if stage == "answer":
            self.transport.abort()
            return
        if stage == "body" and not self.transport.is_closing() and self.conn.our_state is h11.SEND_RESPONSE:
            self._answer_408()
        self.transport.close()

    def _note(self, now: float | None = None) -> None:
        """Note what the connection is at, and since when."""
        doing = (self._stage(), self.cycle)
        if doing != self._doing:
            self._doing, self._since = doing, time.monotonic() if now is None else now
            self._moved, self._unsent = 0, self.transport.get_write_buffer_size()
        if self._connection is not None:
            self._connection.stage = "waits" if doing[0] == "request" else "at work"
            self._connection.waits_since = self._since

    def _stage(self) -> Stage:
        if self.transport.get_write_buffer_size():
            return "answer"
        if self.conn.their_state is h11.SEND_BODY and not self.flow.read_paused:
            return "body"
        return "request" if self.conn.their_state is h11.IDLE else "ours"

    def _answer_408(self) -> None:
        self.cycle.disconnected = True  # the application is not to answer too
        self.cycle.message_event.set()
        headers = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(TOO_SLOW)))]
        for event in (
            h11.Response(status_code=408, headers=[*headers, ("connection", "close")], reason=b"Request Timeout"),
            h11.Data(data=TOO_SLOW),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
