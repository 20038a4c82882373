"""Serves an ASGI application on a free loopback port, in a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from starlette.types import ASGIApp


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The URL at which `app` answers while the context lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", ws="none", lifespan="off", proxy_headers=False)
        )
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


@contextmanager
def client_of(app: ASGIApp, **headers: str) -> Iterator[httpx.Client]:
    """An HTTP client of `app`, over a real socket; does not follow redirects."""
    with served(app) as url, httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        yield client
