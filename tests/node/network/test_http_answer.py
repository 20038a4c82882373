"""Answers of servers that are asked: read whole where they are real, and within limits where they are not."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from node.network.http_answer import DEPTH, VALUES, HttpAsker, UnsuitableAnswer, read_json, url_segment


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that answers one request."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(30)


def whole(body: bytes, encoding: str = "identity") -> Callable[[socket.socket], None]:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return lambda connection: connection.sendall(head.encode() + body)


def drip(head: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    """A server that is never silent for long and never done."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(drop)
            time.sleep(0.02)  # as slow as it wants to be

    return answer


@contextmanager
def asker(silence_s: float = 30.0) -> Iterator[HttpAsker]:
    http = HttpAsker(silence_s)
    try:
        yield http
    finally:
        http.close()


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [(b'{"a": 1}', "identity"), (gzip.compress(b'{"a": 1}', mtime=0), "gzip")],
    ids=["as it is", "packed"],  # packed bytes hold the time, and a test's name must not
)
def test_an_answer_is_read_whole_and_unpacked(packed: bytes, encoding: str) -> None:
    with answering(whole(packed, encoding)) as url, asker() as http:
        answer = http.ask("GET", url)
    assert (answer.status, answer.is_success, answer.phrase, answer.json()) == (200, True, "HTTP 200 OK", {"a": 1})


BOMB = gzip.compress(bytes(100 * 2**20), 1, mtime=0)


@pytest.mark.parametrize(
    ("body", "encoding", "sentence"),
    [
        (BOMB, "gzip", "is larger than 33554432 bytes"),
        (bytes(40 * 2**20), "identity", "is larger than 33554432 bytes"),
        (gzip.compress(BOMB, mtime=0), "gzip, gzip", "is packed in a way that the node does not unpack"),
        (b"not packed", "gzip", "is not packed as it says"),
        (b"?", "br", "is packed in a way that the node does not unpack"),
    ],
    ids=["bomb", "large", "twice", "damaged", "unknown"],
)
def test_an_answer_beyond_the_limits_is_told_in_a_sentence(body: bytes, encoding: str, sentence: str) -> None:
    with answering(whole(body, encoding)) as url, asker() as http, pytest.raises(UnsuitableAnswer, match=sentence):
        http.ask("GET", url)


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["headers", "body", "chunks"],
)
def test_a_server_that_only_drips_is_left(head: bytes, drop: bytes) -> None:
    with answering(drip(head, drop)) as url, asker(0.15) as http, pytest.raises(httpx.ReadTimeout, match="too long"):
        http.ask("GET", url)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<html>", "is not JSON"),
        (b"[" * 100_000, "is nested more than 64 deep"),
        (b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1), "is nested more than 64 deep"),
        (b"[" + b"0," * VALUES + b"0]", "has more than 1,000,000 values"),
        (b"1" * 10_000, "has a number of more than 4,300 digits"),
        (b'"\xff"', "is not JSON: byte 1 is not UTF-8"),
    ],
    ids=["html", "open", "deep", "many", "number", "bytes"],
)
def test_json_beyond_the_limits_is_told_in_a_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises(UnsuitableAnswer, match=sentence):
        read_json(body)


@pytest.mark.parametrize(
    ("identifier", "segment"),
    [("1.2.840", "1.2.840"), ("a/../b", "a%2F..%2Fb"), ("a?b#c", "a%3Fb%23c"), ("..a", "..a")],
)
def test_an_identifier_stays_in_its_segment(identifier: str, segment: str) -> None:
    assert url_segment(identifier) == segment


@pytest.mark.parametrize("identifier", ["", ".", "..", "a\0", "a\r\nHost: b", "\ud800", "1" * 129])
def test_what_no_url_can_hold_is_refused(identifier: str) -> None:
    with pytest.raises(UnsuitableAnswer, match="identifier"):
        url_segment(identifier)
