"""What the tests of notifications share: a notification in an outbox, and a mail server that answers as told."""

from __future__ import annotations

import hashlib
import json
from asyncio import WriteTransport
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from sqlalchemy.orm import Session as DatabaseSession

from dicom_sr.profile import SENDING_ORDER
from node.database.tables import JobRow, ObjectRow, OutboxRow
from node.study.sealing import seal
from tests.node.send.outgoing import START, Outgoing

TOLD: dict[str, Any] = {
    "format": "condyle-notification-1",
    "job": "0" * 32,
    "pipeline": {"name": "hand_foot_scoring", "version": "1.0", "title": "Sharp/van der Heijde scores"},
    "state": "done",
    "research_use": "Research use only. Not for diagnosis.",
    "link": "https://condyle.example.org/jobs/0",
    "sentences": ["Total score 55.6."],
    "findings": [
        {
            "finding": {"scheme": "99MSKAI", "code": "SVH-SUM", "meaning": "Sum"},
            "site": {"scheme": "99MSKAI", "code": "HAND", "meaning": "Hand"},
            "laterality": "R",
            "measurements": [
                {"name": {"scheme": "99MSKAI", "code": "SVH-TOTAL", "meaning": "Total"}, "value": 55.61, "unit": "mm"}
            ],
            "evaluations": [],
        }
    ],
    "findings_left_out": 0,
    "not_evaluable": [],
}


def notification(out: Outgoing, name: str, *, key_file: Path | None = None, **more: Any) -> str:
    """A job that is being sent, with a notification for the destination `name`; returns its id."""
    job_id = out.job(kinds=())
    path = out.folder / f"{job_id}.json"
    path.write_bytes(seal(json.dumps({**TOLD, "job": job_id, **more}).encode(), key_file))
    with DatabaseSession(out.database) as session, session.begin():
        session.get_one(JobRow, job_id).destinations = [name]
        made = {"sop_instance_uid": uid_of(job_id), "job_id": job_id, "order": SENDING_ORDER["notification"]}
        session.add(
            ObjectRow(
                **made,
                sop_class_uid="",
                series_instance_uid="",
                study_instance_uid="",
                kind="notification",
                path=str(path),
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                size=path.stat().st_size,
            )
        )
        session.flush()
        session.add(OutboxRow(**made, destination=name, state="waiting", not_before=START))
    return job_id


def uid_of(job_id: str) -> str:
    return f"2.25.{int(job_id, 16) + 1}"


class MailServer:
    """Keeps what it is sent; answers a recipient, the message or a sign-in as it is told to."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.rcpt_answers: dict[str, str] = {}  # by recipient
        self.data_answers: list[str] = []  # of the next messages; "hang up" keeps the message and says nothing
        self.signed_in: list[str] = []
        self.encrypted: list[bool] = []

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        answer = self.rcpt_answers.get(address, "250 fine")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.data_answers.pop(0) if self.data_answers else "250 kept"
        if answer == "hang up" or answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            message = message_from_bytes(content, policy=default)
            assert isinstance(message, EmailMessage)
            self.messages.append(message)
            self.recipients.append(list(envelope.rcpt_tos))
            self.encrypted.append(session.ssl is not None)
        if answer == "hang up":
            assert isinstance(server.transport, WriteTransport)
            server.transport.abort()
        return answer

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        good = (data.login, data.password) == (b"condyle", b"pa55word")
        self.signed_in.append(data.login.decode())
        return AuthResult(success=good, handled=False)


@contextmanager
def mail_server(peer: MailServer, port: int, **settings: Any) -> Iterator[None]:
    """The server on a port, until the end of the block."""
    controller = Controller(peer, hostname="127.0.0.1", port=port, **settings)
    controller.start()
    try:
        yield
    finally:
        controller.stop()
