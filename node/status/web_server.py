"""The web server of the status page and of everything else that is asked by HTTP."""

from __future__ import annotations

import socket
import threading

import uvicorn

from node.config import Tls
from node.network.tls import server_context

PATIENCE_S = 2  # for requests under way at the end


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
    """

    def __init__(self, app: object, listening: socket.socket, tls: Tls | None = None) -> None:
        super().__init__(name="web server", daemon=True)
        context = server_context(tls) if tls else None
        self._socket = listening
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                log_config=None,
                access_log=False,
                proxy_headers=False,  # `node.network.sign_in` knows whom to believe
                lifespan="off",
                timeout_graceful_shutdown=PATIENCE_S,
                ssl_context_factory=(lambda *_: context) if context else None,
            )
        )

    def run(self) -> None:
        """Serve until `stop`."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Answer the requests under way, then end."""
        self._server.should_exit = True
        self.join()
        self._socket.close()
