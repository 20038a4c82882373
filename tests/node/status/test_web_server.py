"""The web server answers on a socket that is open already, and closes it at the end."""

from __future__ import annotations

import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from node.status.web_server import WebServer


def test_it_serves_until_it_is_stopped() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = WebServer(Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))]), listening)
    server.start()
    assert httpx.get(f"http://127.0.0.1:{port}/").text == "here"
    server.stop()
    assert not server.is_alive()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")


def test_a_forwarded_header_gives_nobody_another_address() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse(str(request.client.host)))])
    server = WebServer(app, listening)
    server.start()
    answer = httpx.get(f"http://127.0.0.1:{listening.getsockname()[1]}/", headers={"X-Forwarded-For": "10.1.2.3"})
    server.stop()
    assert answer.text == "127.0.0.1"
