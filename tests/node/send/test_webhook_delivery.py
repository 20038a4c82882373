"""Notifications by HTTP POST, to a real server: signed, with an id that stays, and sent again only where that helps."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute

from node.network.webhook_client import secret_bytes
from node.send.lane import Lane
from node.send.webhook_delivery import WebhookDelivery
from tests.fhir_peer import serving
from tests.node.send.outgoing import HandClock, Outgoing, destinations, outgoing, silent_peer
from tests.node.send.telling import TOLD, notification, uid_of


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        yield made


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


class Receiver:
    """Keeps what is posted, and answers as told, then 204."""

    def __init__(self, *statuses: int, says: bytes = b"", **headers: str) -> None:
        self.statuses, self.says = list(statuses), says
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.app = Starlette(routes=[HttpRoute("/hook", self._take, methods=["POST", "OPTIONS"])])

    async def _take(self, request: Request) -> Response:
        if request.method == "POST":
            self.posts.append((dict(request.headers), await request.body()))
        status = self.statuses.pop(0) if self.statuses else 204
        headers = {"Location": "/elsewhere"} if status == 302 else self.headers
        return Response(self.says, status, headers)


def lane(out: Outgoing, clock: HandClock, url: str, **more: Any) -> Lane:
    configured = destinations(hook={"kind": "webhook", "url": url, **more}).destinations["hook"]
    return Lane("hook", configured, "CONDYLE", out.database, clock, data=out.folder)


def drain(of: Lane) -> None:
    while of.turn():
        pass


def test_a_notification_is_signed_and_carries_its_id(out: Outgoing, clock: HandClock, tmp_path: Path) -> None:
    secret = base64.b64encode(b"a secret of the site").decode()
    (tmp_path / "secret").write_text(f"whsec_{secret}\n")
    (tmp_path / "token").write_text("t0ken\n")
    peer, job = Receiver(), notification(out, "hook")
    with serving(peer.app) as url:
        files = {"secret_file": str(tmp_path / "secret"), "token_file": str(tmp_path / "token")}
        drain(lane(out, clock, f"{url}/hook", **files))
    ((headers, body),) = peer.posts
    assert json.loads(body) == {**TOLD, "job": job}
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer t0ken"
    assert headers["idempotency-key"] == headers["webhook-id"] == uid_of(job)
    signed = f"{uid_of(job)}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(b"a secret of the site", signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert [(line.state, line.answer) for line in out.lines(job)] == [("delivered", "HTTP 204 No Content")]


@pytest.mark.parametrize("status", [429, 500, 503, 401])
def test_what_may_pass_is_sent_again_with_the_same_id_and_bytes(out: Outgoing, clock: HandClock, status: int) -> None:
    peer, job = Receiver(status), notification(out, "hook")
    with serving(peer.app) as url:
        sending = lane(out, clock, f"{url}/hook")
        drain(sending)
        assert [line.state for line in out.lines(job)] == ["waiting"]
        clock.wait(10)
        drain(sending)
    (first, first_body), (second, second_body) = peer.posts
    assert (first["webhook-id"], first_body) == (second["webhook-id"], second_body)
    assert [line.state for line in out.lines(job)] == ["delivered"]


@pytest.mark.parametrize("status", [302, 400, 404, 410, 422])
def test_a_refusal_ends_it(out: Outgoing, clock: HandClock, status: int) -> None:
    peer, job = Receiver(status), notification(out, "hook")
    with serving(peer.app) as url:
        drain(lane(out, clock, f"{url}/hook"))
    (line,) = out.lines(job)
    assert line.state == "refused"
    assert line.answer.startswith(f"HTTP {status}")


def test_a_server_that_is_silent_or_away_costs_only_time(out: Outgoing, clock: HandClock) -> None:
    job = notification(out, "hook")
    with silent_peer() as port:
        assert not lane(out, clock, f"http://127.0.0.1:{port}/hook", timeout_s=0.3).turn()
    clock.wait(10)
    assert not lane(out, clock, "http://127.0.0.1:9/hook").turn()
    (line,) = out.lines(job)
    assert (line.state, line.answer) == ("waiting", "hook: ConnectError")


def test_whatever_else_the_answer_says_it_is_sent_once(out: Outgoing, clock: HandClock) -> None:
    long = Receiver(200, says=bytes(4 * 2**20))
    odd = Receiver(200, says=b"x", content_encoding="br")
    for peer in (long, odd):
        job = notification(out, "hook")
        with serving(peer.app) as url:
            drain(lane(out, clock, f"{url}/hook"))
        assert [line.state for line in out.lines(job)] == ["delivered"]
        assert len(peer.posts) == 1


def test_an_object_that_is_no_notification_is_refused(out: Outgoing, clock: HandClock) -> None:
    peer, job = Receiver(), out.job("hook")
    with serving(peer.app) as url:
        drain(lane(out, clock, f"{url}/hook"))
    assert [(line.state, line.answer) for line in out.lines(job)] == [("refused", "not a notification")]
    assert peer.posts == []


def test_a_server_is_pinged_without_a_notification() -> None:
    peer = Receiver()
    with serving(peer.app) as url:
        hook = destinations(hook={"kind": "webhook", "url": f"{url}/hook"}).destinations["hook"]
        assert hook.kind == "webhook"
        with closing(WebhookDelivery("hook", hook)) as delivery:
            assert delivery.ping() == "answers: HTTP 204 No Content"
    assert peer.posts == []


@pytest.mark.parametrize(
    ("text", "expected"), [("whsec_c2VjcmV0", b"secret"), ("whsec_!", b"whsec_!"), ("plain", b"plain")]
)
def test_a_secret_is_its_bytes(text: str, expected: bytes) -> None:
    assert secret_bytes(text) == expected
