"""Notifications by e-mail, to a real mail server: one message for a result, whatever is away or refused in between."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from node.config.checks import listening_socket
from node.errors import PeerUnavailable
from node.patient_records.store import new_key
from node.send.email_delivery import EmailDelivery
from node.send.lane import Lane
from tests.needs import missing
from tests.node.send.outgoing import HandClock, Outgoing, destinations, outgoing, silent_peer
from tests.node.send.telling import MailServer, mail_server, notification, uid_of

TO = "radiology@example.org"


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        yield made


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def port() -> int:
    with listening_socket("127.0.0.1", 0) as found:
        return int(found.getsockname()[1])


def section(port: int, **more: Any) -> Any:
    mail = {"kind": "email", "host": "127.0.0.1", "port": port, "security": "none", "sender": "condyle@example.org"}
    return destinations(mail={**mail, "recipients": [TO], **more}).destinations["mail"]


def lane(out: Outgoing, clock: HandClock, port: int, *, key_file: Path | None = None, **more: Any) -> Lane:
    return Lane("mail", section(port, **more), "CONDYLE", out.database, clock, data=out.folder, key_file=key_file)


def drain(of: Lane) -> None:
    while of.turn():
        pass


def test_a_result_is_told_in_one_message_that_names_no_patient(out: Outgoing, clock: HandClock, port: int) -> None:
    peer, job = MailServer(), notification(out, "mail")
    with mail_server(peer, port):
        drain(lane(out, clock, port))
    (message,) = peer.messages
    assert (message["From"], message["To"]) == ("condyle@example.org", TO)
    assert message["Subject"] == "Sharp/van der Heijde scores: result"
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_content().replace("\r\n", "\n")
    assert "Total score 55.6." in text
    assert "- Sum, Hand R, Total 55.61 mm" in text
    assert "Page: https://condyle.example.org/jobs/0" in text
    assert text.endswith("Research use only. Not for diagnosis.\n")
    assert [(line.state, line.answer) for line in out.lines(job)] == [("delivered", "SMTP 250")]
    assert out.job_record(job).state == "done"


def test_what_the_profile_lets_it_say_of_the_patient_is_said(
    out: Outgoing, clock: HandClock, port: int, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(new_key())
    details = {"patient_name": "Mustér^Erika", "accession_number": "A77\nBcc: x@y"}
    peer, job = MailServer(), notification(out, "mail", key_file=tmp_path / "key", patient=details)
    assert b"A77" not in (out.folder / f"{job}.json").read_bytes()
    with mail_server(peer, port):
        drain(lane(out, clock, port, key_file=tmp_path / "key"))
    text = peer.messages[0].get_content().replace("\r\n", "\n")
    assert "Patient: Mustér^Erika\n" in text
    assert r"Accession number: A77\nBcc: x@y" in text
    assert peer.messages[0]["Bcc"] is None


def test_a_server_that_is_away_gets_it_when_it_is_back(out: Outgoing, clock: HandClock, port: int) -> None:
    peer, job, sending = MailServer(), notification(out, "mail"), lane(out, clock, port)
    assert not sending.turn()
    assert [line.state for line in out.lines(job)] == ["waiting"]
    clock.wait(10)
    with mail_server(peer, port):
        drain(sending)
    assert len(peer.messages) == 1


def test_an_answer_that_was_lost_is_followed_by_the_same_message(out: Outgoing, clock: HandClock, port: int) -> None:
    peer, job, sending = MailServer(), notification(out, "mail"), lane(out, clock, port)
    peer.data_answers = ["hang up"]
    with mail_server(peer, port):
        drain(sending)
        assert [line.state for line in out.lines(job)] == ["waiting"]
        clock.wait(10)
        drain(sending)
    first, second = peer.messages
    assert first["Message-ID"] == second["Message-ID"] == f"<{uid_of(job)}@condyle.invalid>"
    assert [line.state for line in out.lines(job)] == ["delivered"]


def test_no_recipient_gets_it_twice_because_another_is_to_wait(out: Outgoing, clock: HandClock, port: int) -> None:
    peer, job = MailServer(), notification(out, "mail")
    peer.rcpt_answers = {"slow@example.org": "450 greylisted"}
    sending = lane(out, clock, port, recipients=[TO, "slow@example.org"])
    with mail_server(peer, port):
        drain(sending)
        assert peer.messages == []
        assert [line.answer for line in out.lines(job)] == ["SMTP 450: a recipient refused for now"]
        peer.rcpt_answers = {"slow@example.org": "550 no such user"}
        clock.wait(10)
        drain(sending)
    assert peer.recipients == [[TO]]
    (line,) = out.lines(job)
    assert (line.state, line.answer) == ("delivered", "SMTP 250; 1 of 2 recipients refused (550)")


@pytest.mark.parametrize(
    ("answers", "state", "told"),
    [
        ({"data_answers": ["554 spam"]}, "refused", "SMTP 554: the message refused"),
        ({"data_answers": ["451 busy"]}, "waiting", "SMTP 451: the message refused for now"),
        ({"rcpt_answers": {TO: "550 unknown"}}, "refused", "SMTP 550: every recipient refused"),
    ],
)
def test_what_the_server_says_decides(
    out: Outgoing, clock: HandClock, port: int, answers: dict[str, Any], state: str, told: str
) -> None:
    peer, job = MailServer(), notification(out, "mail")
    for name, value in answers.items():
        setattr(peer, name, value)
    with mail_server(peer, port):
        drain(lane(out, clock, port))
    (line,) = out.lines(job)
    assert (line.state, line.answer) == (state, told)


def test_a_server_that_says_nothing_is_left(out: Outgoing, clock: HandClock) -> None:
    with silent_peer() as silent:
        job, sending = notification(out, "mail"), lane(out, clock, silent, timeout_s=0.3)
        assert not sending.turn()
    (line,) = out.lines(job)
    assert (line.state, line.answer) == ("waiting", "mail: SMTPServerDisconnected")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    program = shutil.which("openssl") or missing("openssl is not installed")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    names = ("-subj", "/CN=mail", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(folder / "key"), "-out", str(folder / "pem"))
    subprocess.run([program, "req", "-x509", *key, *files, *names], check=True, capture_output=True)
    return folder


def test_tls_comes_before_the_password(
    out: Outgoing, clock: HandClock, port: int, certificate: Path, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "pem", certificate / "key")
    peer, job = MailServer(), notification(out, "mail")
    (tmp_path / "password").write_text("wrong\n")
    account: dict[str, Any] = {
        "security": "starttls",
        "username": "condyle",
        "password_file": str(tmp_path / "password"),
    }
    with mail_server(peer, port, tls_context=context, authenticator=peer.authenticate, auth_required=True):
        assert not lane(out, clock, port, **account).turn()  # an authority that the system does not know
        assert "certificate is not trusted" in out.lines(job)[0].answer
        assert peer.signed_in == []
        trusted = {**account, "trusted": str(certificate / "pem")}
        refused = pytest.raises(PeerUnavailable, match="mail: SMTP 535: user name or password refused")
        with closing(EmailDelivery("mail", section(port, **trusted))) as delivery, refused:
            delivery.ping()
        (tmp_path / "password").write_text("pa55word\n")
        clock.wait(10)
        drain(lane(out, clock, port, **trusted))
    assert peer.encrypted == [True]
    assert out.lines(job)[0].state == "delivered"
