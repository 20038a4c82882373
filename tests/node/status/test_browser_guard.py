"""The node answers under its own names only, and takes nothing from pages that are not its own."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from node.config import StatusSettings
from node.status.browser_guard import BrowserGuard
from node.status.connections import Refusals
from tests.node.network.test_tls import openssl

REFUSALS = Refusals()


def asked(
    method: str = "GET", peer: str = "127.0.0.1", settings: StatusSettings | None = None, **headers: str
) -> httpx.Response:
    """The answer to a request with these headers; _ stands for -."""
    guard = BrowserGuard(PlainTextResponse("here"), settings or StatusSettings(), REFUSALS)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(guard, client=(peer, 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8090") as client:
            return await client.request(
                method, "/", headers={name.replace("_", "-"): of for name, of in headers.items()}
            )

    return asyncio.run(send())


# ---- names
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8090",
        "127.0.0.1:",
        "10.2.3.4",
        "[::1]:8090",
        "[fe80::1]",
        "[FE80::1%25eth0]:65535",
        "[::ffff:10.2.3.4]",
        "localhost",
        "LOCALHOST.:8090",
        "condyle.localhost",
    ],
)
def test_an_address_or_this_machine_may_be_asked_whatever_is_configured(host: str) -> None:
    assert asked(Host=host).text == "here"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.net",
        "evil.example.net:8090",
        "127.0.0.1.evil.net",
        "localhost.evil.net",
        "x",
        "",
        "[::1",
        "::1]",
        "[::1]x",
        "[127.0.0.1]",
        "[localhost]",
        "[x:y.localhost]",
        "127.0.0.1:99999999",
        "127.0.0.1:65536",
        "localhost:80:80",
        "localhost:http",
        "127.0.0.1@evil.net",
        "evil.net/x.localhost",
        "127.0.0.1, evil.net",
    ],
)
def test_under_a_foreign_name_nothing_is_answered(host: str) -> None:
    answer = asked(Host=host)
    assert answer.status_code == 421
    assert "add it to status.allowed_hosts" in answer.text
    assert "here" not in answer.text


def test_the_machine_and_the_configuration_have_names(tmp_path: Path) -> None:
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "k.pem")
    names = ("-subj", "/CN=n", "-addext", "subjectAltName=DNS:node.example.org,DNS:*.ward.example.org")
    openssl("req", "-x509", *new_key, "-out", "c.pem", *names, folder=tmp_path)
    tls = {"certificate": str(tmp_path / "c.pem"), "key": str(tmp_path / "k.pem")}
    settings = StatusSettings.model_validate({"host": "page.lan", "allowed_hosts": ["ai.lan", "*.pod.lan"], "tls": tls})
    for host in (socket.gethostname(), "page.lan", "AI.lan:443", "a.pod.lan", "node.example.org", "a.ward.example.org"):
        assert asked(settings=settings, Host=host).text == "here"
    for host in ("lan", "b.ai.lan", "a.b.pod.lan", "example.org"):
        assert asked(settings=settings, Host=host).status_code == 421


def test_a_trusted_proxy_says_under_which_name_it_was_asked() -> None:
    settings = StatusSettings.model_validate({"trusted_proxies": ["127.0.0.1"], "allowed_hosts": ["ai.lan"]})
    for header in ({"X_Forwarded_Host": "ai.lan"}, {"Forwarded": 'for=10.1.2.3;host="ai.lan"'}):
        assert asked(settings=settings, **header).text == "here"
    for header in ({"X_Forwarded_Host": "evil.net"}, {"Forwarded": "host=evil.net"}):
        assert asked(settings=settings, **header).status_code == 421
    # a page that has its own name point at the node may add any header
    assert asked(settings=settings, Host="evil.net", X_Forwarded_Host="ai.lan").status_code == 421


# ---- pages
@pytest.mark.parametrize(
    "origin", ["http://evil.example.net", "null", "http://127.0.0.1:3000", "http://localhost:8090", "file://"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_the_page_of_another_origin_is_refused(origin: str, method: str) -> None:
    answer = asked(method, Origin=origin)
    assert answer.status_code == 403
    assert "Nothing is taken from pages of others" in answer.text


@pytest.mark.parametrize(
    ("host", "origin"),
    [("127.0.0.1:8090", "http://127.0.0.1:8090"), ("10.1.2.3", "https://10.1.2.3"), ("10.1.2.3:80", "http://10.1.2.3")],
)
def test_the_node_s_own_page_is_not(host: str, origin: str) -> None:
    assert asked("POST", Host=host, Origin=origin, Sec_Fetch_Site="same-origin").text == "here"


def test_behind_a_proxy_the_page_has_the_name_that_the_proxy_has() -> None:
    settings = StatusSettings.model_validate({"trusted_proxies": ["127.0.0.1"], "allowed_hosts": ["ai.lan"]})
    headers = {"X_Forwarded_Host": "ai.lan", "Origin": "https://ai.lan"}
    assert asked("POST", settings=settings, **headers).text == "here"
    assert asked("POST", peer="10.1.2.3", settings=settings, **headers).status_code == 403


def test_a_link_from_another_page_works_and_what_it_sends_does_not() -> None:
    assert asked(Sec_Fetch_Site="cross-site").text == "here"
    assert asked("POST", Sec_Fetch_Site="cross-site").status_code == 403
    assert asked("POST", Sec_Fetch_Site="same-site").status_code == 403
    assert asked("POST", Sec_Fetch_Site="none").text == "here"
    assert asked("POST").text == "here"  # a program
