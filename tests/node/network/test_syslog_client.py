"""Messages to real syslog servers, over each transport: taken apart as RFC 5424 has it, and never two of one."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from node.config import SyslogChannel
from node.config.checks import listening_socket
from node.errors import PeerUnavailable
from node.network.syslog_client import LONGEST_DATAGRAM, Line, Severity, SyslogClient
from tests.needs import missing
from tests.syslog_peer import syslog_server

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def client(port: int, **more: Any) -> SyslogClient:
    section: dict[str, Any] = {"kind": "syslog", "host": "127.0.0.1", "port": port, "timeout_s": 5, **more}
    return SyslogClient("siem", SyslogChannel.model_validate(section))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    program = shutil.which("openssl") or missing("openssl is not installed")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    names = ("-subj", "/CN=siem", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(folder / "key"), "-out", str(folder / "pem"))
    subprocess.run([program, "req", "-x509", *key, *files, *names], check=True, capture_output=True)
    return folder


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "pem", certificate / "key")
    return context


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_message_arrives_as_it_was_sent(transport: str, certificate: Path) -> None:
    context = server_context(certificate) if transport == "tls" else None
    trusted = {"trusted": str(certificate / "pem")} if transport == "tls" else {}
    with syslog_server(transport, context) as (peer, port):
        sending = client(port, transport=transport, facility="local3", **trusted)
        answer = sending.send(Line("Müller's disk\nis full", Severity.WARNING, AT, "alert-begun"))
        (message,) = peer.wait_for(1)
    assert answer.startswith(f"sent by {transport.upper()}")
    assert message["priority"] == str(8 * 19 + 4)
    assert (message["at"], message["application"], message["kind"]) == (
        "2026-01-02T03:04:05.678Z",
        "condyle",
        "alert-begun",
    )
    assert message["text"] == "Müller's disk is full"


def test_a_datagram_is_no_longer_than_receivers_take() -> None:
    with syslog_server("udp") as (peer, port):
        client(port).send(Line("ü" * LONGEST_DATAGRAM, Severity.NOTICE, AT))
        (message,) = peer.wait_for(1)
    assert LONGEST_DATAGRAM - 2 <= len(peer.raw[0]) <= LONGEST_DATAGRAM
    assert set(message["text"]) == {"ü"}


def test_a_server_that_is_not_trusted_gets_nothing(certificate: Path) -> None:
    refused = pytest.raises(PeerUnavailable, match="siem: its certificate is not trusted")
    with syslog_server("tls", server_context(certificate)) as (peer, port), refused:
        client(port, transport="tls").send(Line("x", Severity.NOTICE, AT))
    assert peer.raw == []


def test_a_client_that_a_server_turns_away_learns_it(certificate: Path) -> None:
    context = server_context(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate / "pem")
    with syslog_server("tls", context) as (peer, port):
        without = client(port, transport="tls", trusted=str(certificate / "pem"))
        with pytest.raises(PeerUnavailable):
            without.send(Line("x", Severity.NOTICE, AT))
        own = {"certificate": str(certificate / "pem"), "key": str(certificate / "key")}
        shown = client(port, transport="tls", trusted=str(certificate / "pem"), tls=own)
        shown.send(Line("y", Severity.NOTICE, AT))
        (message,) = peer.wait_for(1)
    assert message["text"] == "y"


def test_a_server_that_is_away_is_named_and_a_ping_sends_nothing() -> None:
    with listening_socket("127.0.0.1", 0) as free:
        port = int(free.getsockname()[1])
    with pytest.raises(PeerUnavailable, match="siem: Connection refused"):
        client(port, transport="tcp").send(Line("x", Severity.NOTICE, AT))
    with syslog_server("tcp") as (peer, at):
        assert client(at, transport="tcp").ping() == "answers"
    assert peer.raw == []
    assert client(port).ping() == "has the address 127.0.0.1; whether anybody listens there, UDP does not say"
