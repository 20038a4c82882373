"""The web server answers on a socket that is open already, and closes it at the end."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from node.config import Configuration, Tls
from node.database.connection import open_database
from node.database.tables import Base
from node.files import make_folder
from node.status import web_server
from node.status.app import build_app
from node.status.connections import Connections
from node.status.web_server import WebServer
from tests.node.network.test_tls import openssl
from tests.waiting import until


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


def test_the_limits_hold_where_another_event_loop_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", ModuleType("uvloop"))  # takes connections past every Python socket
    connections, counted = Connections(), list[int]()

    def count(_request: Request) -> Response:
        counted.append(len(connections))
        return PlainTextResponse("here")

    listening = socket.create_server(("127.0.0.1", 0))
    server = WebServer(Starlette(routes=[Route("/", count)]), listening, connections=connections)
    server.start()
    try:
        assert httpx.get(f"http://127.0.0.1:{listening.getsockname()[1]}/").text == "here"
    finally:
        server.stop()
    assert counted == [1]


def test_a_length_that_is_told_in_two_ways_is_refused_and_the_connection_ended() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    connections = Connections()
    routes = [Route("/", lambda _: PlainTextResponse("here"), methods=["GET", "POST"])]
    server = WebServer(Starlette(routes=routes), listening, connections=connections)
    server.start()
    request = (
        "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\nGET / HTTP/1.1\r\nHost: here\r\n\r\n"
    )
    try:
        with socket.create_connection(listening.getsockname(), timeout=20) as client:
            client.sendall(request.encode())
            with client.makefile("rb") as answers:
                answer = answers.read()  # to the end of the connection
    finally:
        server.stop()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"has a Content-Length and a Transfer-Encoding" in answer
    assert connections.refusals.counts() == {"length told in two ways": 1}


# ---- clients that take their time
async def _length(request: Request) -> Response:
    count = 0
    async for piece in request.stream():
        count += len(piece)
    return PlainTextResponse(str(count))


async def _late(_request: Request) -> Response:
    await asyncio.sleep(2.5)
    return PlainTextResponse("late")


async def _much(_request: Request) -> Response:
    return Response(bytes(16 * 2**20))


class Impatient(NamedTuple):
    """A server with little patience."""

    connections: Connections
    address: tuple[str, int]

    def client(self, first: bytes) -> socket.socket:
        """A connection that has sent `first`."""
        client = socket.create_connection(self.address, timeout=20)
        client.sendall(first)
        return client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Impatient]:
    monkeypatch.setattr(web_server, "REQUEST_S", 0.5)
    monkeypatch.setattr(web_server, "PROGRESS_S", 0.5)
    monkeypatch.setattr(web_server, "PROGRESS_BYTES", 100)
    listening = socket.create_server(("127.0.0.1", 0))
    connections = Connections()
    routes = [Route("/", _length, methods=["POST"]), Route("/late", _late), Route("/much", _much)]
    server = WebServer(Starlette(routes=routes), listening, connections=connections)
    server.start()
    yield Impatient(connections, listening.getsockname())
    server.stop()


def _dripped(client: socket.socket, piece: bytes) -> bytes:
    """What comes back of a client that sends a piece ten times a second."""
    client.settimeout(0.1)
    answer = b""
    for _ in range(100):
        try:
            client.sendall(piece)
            more = client.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            break
        if not more:
            break
        answer += more
    return answer


def test_headers_that_do_not_end_in_time_end_the_connection_however_often_a_byte_comes(impatient: Impatient) -> None:
    with impatient.client(b"GET / HTTP/1.1\r\nHost: x\r\nX: ") as client:
        answer = _dripped(client, b"a")
    assert answer == b""
    assert impatient.connections.refusals.counts() == {"no whole request in time": 1}


def test_a_connection_on_which_nothing_comes_is_closed_and_nobody_told(impatient: Impatient) -> None:
    with impatient.client(b"") as client:
        assert client.recv(100) == b""
    assert impatient.connections.refusals.counts() == {}


def test_a_body_that_stands_still_is_a_408(impatient: Impatient) -> None:
    with impatient.client(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\nbegun") as client:
        answer = _dripped(client, b"a")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"of the body came in" in answer
    assert impatient.connections.refusals.counts() == {"too slow": 1}


def test_a_slow_body_that_goes_on_may_take_its_time(impatient: Impatient) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1500\r\n\r\n"
    with impatient.client(head) as client:
        for _ in range(25):  # some seconds, which are several times what a silent one is given
            client.sendall(bytes(60))
            time.sleep(0.1)
        assert client.makefile("rb").read().endswith(b"\r\n1500")


def test_the_node_itself_may_take_its_time(impatient: Impatient) -> None:
    with impatient.client(b"GET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as client:
        assert client.makefile("rb").read().endswith(b"late")


def test_who_does_not_take_the_answer_is_let_go(impatient: Impatient) -> None:
    with impatient.client(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n"):
        until(lambda: impatient.connections.refusals.counts() == {"too slow": 1}, "it was let go")
        until(lambda: len(impatient.connections) == 0, "its connection is closed")


def test_a_handshake_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(web_server, "REQUEST_S", 0.5)
    listening = socket.create_server(("127.0.0.1", 0))
    files = ("-keyout", "node.key", "-out", "node.pem", "-subj", "/CN=node")
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *files, folder=tmp_path
    )
    server = WebServer(Starlette(), listening, Tls(certificate=tmp_path / "node.pem", key=tmp_path / "node.key"))
    server.start()
    with socket.create_connection(listening.getsockname(), timeout=20) as client:
        assert client.recv(100) == b""
    server.stop()


def test_whom_a_clients_certificate_names_is_told_to_the_pages_and_browsers_come_by_tls_from_then_on(
    tmp_path: Path,
) -> None:
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("node", "reading room 2"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
        openssl(*new, *files, "-addext", "subjectAltName=IP:127.0.0.1", folder=tmp_path)
    tls = {"certificate": "node.pem", "key": "node.key", "trusted": "reading room 2.pem"}
    status = {"tls": {key: str(tmp_path / file) for key, file in tls.items()}, "url": "https://condyle.example.org"}
    openid = {"issuer": "https://login.example.org", "client_id": "condyle", "roles": {"all": "viewer"}}
    configuration = Configuration.model_validate(
        {"node": {"data": str(tmp_path / "data")}, "status": {**status, "openid": openid}}
    )
    make_folder(tmp_path / "data")
    database = open_database(configuration.node.database_url)
    Base.metadata.create_all(database)
    listening = socket.create_server(("127.0.0.1", 0))
    server = WebServer(build_app(configuration, database), listening, configuration.status.tls)
    server.start()
    context = ssl.create_default_context(cafile=str(tmp_path / "node.pem"))
    context.load_cert_chain(tmp_path / "reading room 2.pem", tmp_path / "reading room 2.key")
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"
    with httpx.Client(base_url=url, verify=context, headers={"accept": "text/html"}) as client:
        page = client.get("/account")
        assert "You are <b>certificate reading room 2</b>, viewer, and do not see patients' names" in page.text
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        assert client.get("/users").status_code == 403
    server.stop()
    database.dispose()
