"""Who may use the HTTP port: this machine, or whoever shows the token; and who counts as this machine."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from node.config import TokenSection
from node.errors import ConfigurationError
from node.network.sign_in import SignIn, caller_address

TOKEN = "0123456789abcdef"
PROXIES = (ipaddress.ip_network("127.0.0.1/32"), ipaddress.ip_network("10.9.0.0/16"))


def request(sender: str = "127.0.0.1", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "client": (sender, 5000), "headers": raw})


def status(sign_in: SignIn, asked: Request) -> int | None:
    refusal = sign_in.refusal(asked)
    return None if refusal is None else refusal.status


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request("127.0.0.1"), None),
        (request("::1"), None),
        (request("::ffff:127.0.0.1"), None),
        (request("10.1.2.3"), 403),
        (request("testclient"), 403),
        (request("127.0.0.1", x_forwarded_for="10.1.2.3"), 403),
        (request("127.0.0.1", x_forwarded_for="127.0.0.1"), 403),
        (request("127.0.0.1", forwarded="for=127.0.0.1"), 403),
        (request("127.0.0.1", x_real_ip="127.0.0.1"), 403),
        (request("127.0.0.1", via="1.1 proxy"), 403),
        (request("127.0.0.1", authorization="Bearer "), None),
    ],
)
def test_without_a_token_only_this_machine_may_and_no_forwarded_request_is_from_it(
    asked: Request, expected: int | None
) -> None:
    assert status(SignIn("records", TokenSection()), asked) == expected


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"x_forwarded_for": "10.1.2.3"}, "10.1.2.3"),
        ({"x_forwarded_for": "127.0.0.1"}, "127.0.0.1"),
        ({"x_forwarded_for": "127.0.0.1, 10.1.2.3"}, "10.1.2.3"),  # what the caller wrote itself does not count
        ({"x_forwarded_for": "10.1.2.3, 10.9.0.4"}, "10.1.2.3"),  # two proxies
        ({"forwarded": 'for="[2001:db8::7]:4711";proto=https, for=10.9.0.4'}, "2001:db8::7"),
        ({"forwarded": "proto=https;FOR=192.0.2.1:80"}, "192.0.2.1"),
        ({"forwarded": "for=unknown"}, ""),
        ({"forwarded": "proto=https"}, ""),
        ({"x_forwarded_for": ""}, ""),
        ({"via": "1.1 proxy"}, ""),
        ({"x_forwarded_for": "127.0.0.1", "forwarded": "for=10.1.2.3"}, ""),  # which one the proxy wrote is not known
    ],
)
def test_a_trusted_proxy_tells_where_a_request_came_from(headers: dict[str, str], address: str) -> None:
    asked = request("127.0.0.1", **headers)
    assert caller_address(asked, PROXIES) == address
    local = address == "127.0.0.1"
    assert status(SignIn("records", TokenSection(), PROXIES), asked) == (None if local else 403)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (request("10.1.2.3"), "; the request came from 10.1.2.3"),
        (
            request("10.8.0.1", x_forwarded_for="127.0.0.1", via="1.1 <b>"),
            "; the request came from 10.8.0.1 and has X-Forwarded-For and Via, so somebody forwarded it; "
            "if 10.8.0.1 is a proxy of yours, name it in status.trusted_proxies",
        ),
        (request(x_forwarded_for="10.1.2.3"), "; the proxy 127.0.0.1 says that the request came from 10.1.2.3"),
        (
            request(x_forwarded_for="127.0.0.1", forwarded="for=127.0.0.1"),
            "; the proxy 127.0.0.1 sent Forwarded and X-Forwarded-For, which does not tell where the request came "
            "from; have the proxy set X-Forwarded-For, or Forwarded, and not both",
        ),
        (
            request(via="1.1 proxy"),
            "; the proxy 127.0.0.1 sent Via, which does not tell where the request came from; "
            "have the proxy set X-Forwarded-For, or Forwarded, and not both",
        ),
    ],
)
def test_who_is_not_from_this_machine_is_told_what_was_seen_and_what_to_set(asked: Request, says: str) -> None:
    refusal = SignIn("records", TokenSection(), PROXIES).refusal(asked)
    assert refusal is not None
    assert refusal.sentence == f"Only this machine may, as the configuration sets no records.token_file{says}"


def test_a_proxy_that_is_not_named_is_not_believed() -> None:
    assert caller_address(request("10.8.0.1", x_forwarded_for="127.0.0.1"), PROXIES) == ""


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (f"Bearer {TOKEN}", None),
        (f"bearer  {TOKEN} ", None),
        ("Basic YW55Ym9keTowMTIzNDU2Nzg5YWJjZGVm", None),  # anybody:0123456789abcdef
        ("", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (TOKEN, 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer t\xf6ken", 401),
        ("Basic !!!", 401),
        ("Basic MDEyMzQ1Njc4OWFiY2RlZg==", 401),  # without a name and a colon
    ],
)
def test_with_a_token_everybody_must_show_it(authorization: str, expected: int | None) -> None:
    sign_in = SignIn("records", TokenSection(token=TOKEN))  # type: ignore[arg-type]
    for sender in ("127.0.0.1", "10.1.2.3"):
        assert status(sign_in, request(sender, authorization=authorization)) == expected


@pytest.mark.parametrize("content", ["", "\n", "  \n\n", "\ufeff", "short", "two words that are long enough", "x" * 15])
def test_a_token_file_without_a_fit_token_is_an_error_and_opens_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"^records\.token_file: {file}: ") as error:
        SignIn("records", TokenSection(token_file=file))
    assert not content.strip("\ufeff \n") or content not in str(error.value)


@pytest.mark.parametrize("content", [b"0123456789abcdef\n", b"\xef\xbb\xbf0123456789abcdef\r\n"])
def test_line_ends_and_a_byte_order_mark_are_no_part_of_a_token(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    sign_in = SignIn("records", TokenSection(token_file=tmp_path / "token"))
    assert status(sign_in, request(authorization=f"Bearer {TOKEN}")) is None


@pytest.mark.parametrize(
    "settings", [{"token": ""}, {"token": "short"}, {"token": TOKEN, "token_file": "token"}, {"token": "x" * 15}]
)
def test_a_token_that_is_not_fit_or_not_alone_is_no_configuration(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is empty|has \d+ characters|token is given too"):
        TokenSection(**settings)
