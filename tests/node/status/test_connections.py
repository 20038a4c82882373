"""However many connections are held, whoever comes with a request is served, and the log has one line."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from node.status import connections as limits
from node.status.connections import Connections, Refusals
from node.status.web_server import WebServer
from tests.waiting import until

HALF = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


async def _answer(request: Request) -> Response:
    return PlainTextResponse(f"{len(await request.body())}")


@contextlib.contextmanager
def serving(connections: Connections) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = WebServer(Starlette(routes=[Route("/", _answer, methods=["GET", "POST"])]), listening, None, connections)
    server.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.stop()


@contextlib.contextmanager
def held(port: int, count: int, first: bytes = HALF) -> Iterator[list[socket.socket]]:
    """Connections that have sent `first` and wait."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(count)]
        for one in sockets:
            with contextlib.suppress(OSError):  # cut already
                one.sendall(first)
        yield sockets


def test_half_a_request_makes_room_for_a_whole_one(caplog: pytest.LogCaptureFixture) -> None:
    connections = Connections()
    with caplog.at_level(logging.WARNING), serving(connections) as port, held(port, 3 * limits.PER_ADDRESS) as sockets:
        assert httpx.get(f"http://127.0.0.1:{port}/").text == "0"
        until(lambda: len(connections) <= limits.PER_ADDRESS, "the rest is closed")
        assert sockets[0].recv(100) == b""  # the one that waited longest
        assert connections.refusals.counts()["no room"] >= 2 * limits.PER_ADDRESS
    assert [record.message for record in caplog.records] == ["turned away at the page's port"]


def test_who_is_at_work_is_not_put_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PER_ADDRESS", 3)
    connections = Connections()
    body = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    with serving(connections) as port, held(port, 3, body) as working:
        until(lambda: [one.stage for one in connections._open.values()] == ["at work"] * 3, "all are at work")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as late, contextlib.suppress(ConnectionError):
            assert late.recv(100) == b""
        for one in working:
            one.sendall(b"ab")
            assert one.makefile("rb").read().endswith(b"\r\n2")


def test_a_trusted_proxy_may_hold_more_than_one_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PER_ADDRESS", 3)
    connections = Connections([LOOPBACK])
    with serving(connections) as port, held(port, 10):
        until(lambda: len(connections) == 10, "all are open")
        assert connections.refusals.counts() == {}


def test_in_total_the_limit_leaves_files_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections([LOOPBACK], open_files=limits.FILES_KEPT_FREE + 20)
    with serving(connections) as port, held(port, 60):
        assert httpx.get(f"http://127.0.0.1:{port}/").text == "0"
        until(lambda: len(connections) <= 20, "the rest is closed")


def test_many_refusals_are_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            refusals.add("no room")
        now = 61.0
        refusals.tell()
        now = 200.0
        refusals.tell()
    counts = [record.__dict__["by_reason"] for record in caplog.records]
    assert counts == [{"no room": 1}, {"no room": 999}]
    assert refusals.counts() == {"no room": 1000}


def test_the_log_says_under_which_names_the_node_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    with caplog.at_level(logging.WARNING):
        refusals.add("foreign host", "balancer.lan")
        for number in range(1000):
            refusals.add("foreign host", f"{number % 100}.lan")
        now = 61.0
        refusals.tell()
    assert [record.__dict__["names"] for record in caplog.records] == [
        ["balancer.lan"],
        ["0.lan", "1.lan", "2.lan", "3.lan", "4.lan"],
    ]
