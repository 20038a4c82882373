"""A body over the limit is refused before it comes, one that does not end is told apart, and neither is a traceback."""

from __future__ import annotations

import gzip
import http.client
import logging
import socket
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from node.network.content_encoding import UnsuitableBody
from node.network.request_body import BodyBrokenOff, body_of
from node.status.web_server import WebServer
from tests.waiting import until

MOST = 3 * 2**10
ended: list[UnsuitableBody] = []


async def _length(request: Request) -> Response:
    try:
        return PlainTextResponse(str(sum([len(piece) async for piece in body_of(request, MOST)])))
    except UnsuitableBody as problem:
        ended.append(problem)
        return PlainTextResponse(problem.sentence, problem.status)


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = WebServer(Starlette(routes=[Route("/", _length, methods=["POST"])]), listening)
    ended.clear()
    server.start()
    yield listening.getsockname()
    server.stop()


@pytest.mark.parametrize("more", [{}, {"Content-Encoding": "gzip"}, {"Expect": "100-continue"}])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(
    address: tuple[str, int], more: dict[str, str]
) -> None:
    with closing(http.client.HTTPConnection(*address, timeout=20)) as client:
        client.request("POST", "/", headers={"Content-Length": "99999999999", **more})
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (413, b"The body is larger than the 3 kB that are taken")


def test_a_body_that_turns_out_to_be_too_large_is_refused_too(address: tuple[str, int]) -> None:
    url = f"http://{address[0]}:{address[1]}/"
    for content in (b"x" * MOST, gzip.compress(b"x" * MOST)):
        headers = {"content-encoding": "gzip"} if content[:1] == b"\x1f" else {}
        assert httpx.post(url, content=content, headers=headers).text == str(MOST)
    assert httpx.post(url, content=iter([b"x" * MOST, b"y"])).status_code == 413  # chunked: nothing says how much
    more = gzip.compress(b"x" * (MOST + 1))
    assert httpx.post(url, content=more, headers={"content-encoding": "gzip"}).status_code == 413


def test_a_client_that_goes_away_is_no_traceback(address: tuple[str, int], caplog: pytest.LogCaptureFixture) -> None:
    for head in (b"Content-Length: 3000", b"Transfer-Encoding: chunked"):
        with caplog.at_level(logging.WARNING), socket.create_connection(address) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n5\r\nbegun\r\n")
    until(lambda: len(ended) == 2, "both ends are told")
    assert all(isinstance(problem, BodyBrokenOff) for problem in ended)
    assert caplog.records == []
