"""Messages to MLLP listeners on real sockets: acknowledged, refused, silent, gone, by TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_sr.errors import UnsuitableInput
from node.config import Tls
from node.errors import PeerUnavailable
from node.network.mllp_client import Acknowledgement, MllpClient, read_acknowledgement
from tests.mllp_peer import MllpPeer
from tests.node.network.test_tls import certificates as certificates
from tests.node.send.outgoing import silent_peer

MESSAGE = b"MSH|^~\\&|A|B|||20260101||ORU^R01^ORU_R01|42|P|2.5.1\rPID|1||4711\r"


@contextmanager
def client(port: int, timeout_s: float = 10.0, tls: Tls | None = None) -> Iterator[MllpClient]:
    made = MllpClient("127.0.0.1", port, timeout_s, tls, "ris")
    try:
        yield made
    finally:
        made.close()


def test_each_message_is_acknowledged_on_a_connection_of_its_own() -> None:
    peer = MllpPeer()
    with peer.listen() as port, client(port) as to:
        assert [to.ask(MESSAGE) for _ in range(3)] == [Acknowledgement("AA", "42")] * 3
    assert peer.received == [MESSAGE] * 3
    assert peer.connections == 3


def test_a_second_answer_to_one_message_is_not_taken_for_the_next_ones() -> None:
    again = "AA|{0}\r\x1c\r\x0bMSH|^~\\&|RIS|NORTH|||20260101||ACK|2|P|2.5.1\rMSA|AR|{0}|late"
    peer = MllpPeer(again)
    with peer.listen() as port, client(port) as to:
        assert [to.ask(MESSAGE).code for _ in range(2)] == ["AA", "AA"]


def test_a_refusal_is_an_answer_with_its_words() -> None:
    peer = MllpPeer("AE|{}|unknown order")
    with peer.listen() as port, client(port) as to:
        assert to.ask(MESSAGE) == Acknowledgement("AE", "42", "unknown order")


def test_the_words_of_err_stand_in_for_those_of_msa() -> None:
    text = b"MSH|^~\\&|R|N|||20260101||ACK|1|P|2.5.1\rMSA|AR|42\rERR|||207^x|E||||no such patient\r"
    assert read_acknowledgement(text) == Acknowledgement("AR", "42", "no such patient")


@pytest.mark.parametrize("answer", [b"hello", b"MSH|^~\\&|R|N|||20260101||ACK|1|P|2.5.1\r"])
def test_what_is_no_acknowledgement_is_told(answer: bytes) -> None:
    with pytest.raises(UnsuitableInput):
        read_acknowledgement(answer)


def test_a_listener_that_goes_away_is_called_again_for_the_next_message() -> None:
    peer = MllpPeer(None)
    with peer.listen() as port, client(port) as to:
        with pytest.raises(PeerUnavailable, match=r"ris: 127\.0\.0\.1:\d+: closed without an acknowledgement"):
            to.ask(MESSAGE)
        assert to.ask(MESSAGE).code == "AA"
    assert peer.connections == 2


def test_a_silent_listener_is_away_after_the_timeout() -> None:
    with (
        silent_peer() as port,
        client(port, timeout_s=0.2) as to,
        pytest.raises(PeerUnavailable, match="no answer in time"),
    ):
        to.ask(MESSAGE)


def test_nobody_who_listens_is_away() -> None:
    with MllpPeer().listen() as port:
        pass
    with client(port) as to, pytest.raises(PeerUnavailable, match="refused"):
        to.connect()


def test_by_tls_each_side_sees_the_others_certificate(certificates: Path) -> None:
    tls = Tls(
        certificate=certificates / "scanner.pem", key=certificates / "scanner.key", trusted=certificates / "ca.pem"
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "node.pem", certificates / "node.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    peer = MllpPeer()
    with peer.listen(tls=context) as port:
        with client(port, tls=tls) as to:
            assert to.ask(MESSAGE).code == "AA"
        with client(port) as to, pytest.raises(PeerUnavailable):
            to.ask(MESSAGE)
        stranger = tls.model_copy(update={"trusted": certificates / "other.pem"})
        with client(port, tls=stranger) as to, pytest.raises(PeerUnavailable, match=r"(?i)certificate"):
            to.connect()
    assert peer.received == [MESSAGE]
