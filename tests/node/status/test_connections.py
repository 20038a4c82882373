"""However many connections are held, whoever comes with a request is served, and the log has one line."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from node.status import connections as limits
from node.status.connections import Connections, Refusals
from node.status.web_server import WebServer
from tests.waiting import until

HALF = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\nbegun"
NOW = threading.Event()  # until then, /later has no answer
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


async def _answer(request: Request) -> Response:
    try:
        return PlainTextResponse(f"{len(await request.body())}")
    except ClientDisconnect:
        return PlainTextResponse("")


async def _later(_request: Request) -> Response:
    await asyncio.to_thread(NOW.wait, 30)
    return PlainTextResponse("now")


async def _much(_request: Request) -> Response:
    return Response(bytes(16 * 2**20))


ROUTES = [Route("/", _answer, methods=["GET", "POST"]), Route("/later", _later), Route("/much", _much)]


@contextlib.contextmanager
def serving(connections: Connections) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = WebServer(Starlette(routes=ROUTES), listening, None, connections)
    NOW.clear()
    server.start()
    try:
        yield listening.getsockname()[1]
    finally:
        NOW.set()
        server.stop()


@contextlib.contextmanager
def held(port: int, count: int, first: bytes = HALF, source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Connections that have sent `first` and wait."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0)))
            for _ in range(count)
        ]
        for one in sockets:
            with contextlib.suppress(OSError):  # cut already
                one.sendall(first)
        yield sockets


def _stages(connections: Connections) -> list[str]:
    return [one.stage for one in list(connections._open.values())]


def test_half_a_request_makes_room_for_a_whole_one(caplog: pytest.LogCaptureFixture) -> None:
    connections = Connections()
    with caplog.at_level(logging.WARNING), serving(connections) as port, held(port, 3 * limits.PER_ADDRESS) as sockets:
        assert httpx.get(f"http://127.0.0.1:{port}/").text == "0"
        until(lambda: len(connections) <= limits.PER_ADDRESS, "the rest is closed")
        assert sockets[0].recv(100) == b""  # the one that waited longest
        assert connections.refusals.counts()["no room"] >= 2 * limits.PER_ADDRESS
    assert [record.message for record in caplog.records] == ["turned away at the page's port"]


def test_who_has_sent_a_whole_request_is_not_put_out() -> None:
    connections = Connections(per_address=3)
    with serving(connections) as port, held(port, 3, b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n") as working:
        until(lambda: _stages(connections) == ["at work"] * 3, "all are at work")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as late, contextlib.suppress(ConnectionError):
            assert late.recv(100) == b""
        NOW.set()
        for one in working:
            assert one.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_bodies_on_their_way_keep_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    connections = Connections(per_address=8)
    with caplog.at_level(logging.WARNING), serving(connections) as port, held(port, 8, BODY) as sockets:
        answer = sockets[0].makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b"send it again.\n")
        with held(port, 16, BODY):
            assert httpx.get(f"http://127.0.0.1:{port}/").text == "0"
            assert httpx.post(f"http://127.0.0.1:{port}/", content=b"abc").text == "3"
            until(lambda: _stages(connections).count("body") in (3, 4), "half of the places are free of bodies")
    assert [record.message for record in caplog.records] == ["turned away at the page's port"]


def test_bodies_of_many_addresses_keep_nobody_out() -> None:
    connections = Connections(per_address=4, in_total=limits.LEAST)
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(serving(connections))
        for number in range(2, 10):
            stack.enter_context(held(port, 4, BODY, source=f"127.0.0.{number}"))
        assert httpx.get(f"http://127.0.0.1:{port}/").text == "0"
        assert httpx.post(f"http://127.0.0.1:{port}/", content=b"abc").text == "3"
        until(lambda: _stages(connections).count("body") in (3, 4), "a quarter of all are bodies")


def test_a_body_that_goes_on_outlasts_those_that_stand_still() -> None:
    connections = Connections(per_address=4)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 400000\r\n\r\n"
    with serving(connections) as port, held(port, 1, head) as (steady,):
        for _ in range(3):
            steady.sendall(bytes(100_000))
            until(lambda: any(one.moved > 50_000 for one in list(connections._open.values())), "much has come")
            with held(port, 4, BODY):
                until(lambda: _stages(connections).count("body") <= 2, "the others have made room")
        steady.sendall(bytes(100_000))
        assert steady.makefile("rb").read().endswith(b"\r\n400000")


def test_who_does_not_take_an_answer_keeps_nobody_out() -> None:
    connections = Connections(per_address=4)
    with serving(connections) as port, held(port, 12, b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n"):
        assert httpx.get(f"http://127.0.0.1:{port}/").text == "0"
        until(lambda: _stages(connections).count("answer") == 2, "half of the places are free of answers")


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
