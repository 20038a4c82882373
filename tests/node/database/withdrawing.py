"""A database with a job whose objects have gone out, for tests of taking them back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from dicom_sr.profile import EncodedObject, Kind
from node.database import job_states, outbox
from node.database.jobs import Job, JobState
from node.database.states import OutboxState

DATA = Path("/data")
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def job(letter: str, predecessor: str | None = None) -> Job:
    """A job whose id is of one letter."""
    return Job(
        *(letter * 32, "knee", "trial", "1.2.3", ("1.2.3.4",), ("1.2.3.4.5",), {}, ("pacs", "emr"), NOON),
        predecessor=predecessor * 32 if predecessor else None,
    )


def made(letter: str, number: int, kind: Kind = "report", *, dicom: bool = True) -> EncodedObject:
    """An object of the job of that letter."""
    uid = f"1.{ord(letter)}.{number}"
    return EncodedObject("1.2.840.1" if dicom else "", uid, "1.2", "1.2.3", DATA / uid, kind, number, uid, 10)


def sent(
    session: Session,
    of: Job,
    objects: Iterable[EncodedObject],
    destinations: Iterable[str] = ("pacs",),
    answer: OutboxState | None = OutboxState.DELIVERED,
) -> None:
    """Record the job and send its objects; without an `answer` each was begun, and the peer has said nothing."""
    objects = list(objects)
    job_states.record(session, of, NOON)
    job_states.move(session, of.id, JobState.RUNNING)
    outbox.keep_objects(session, of.id, objects, DATA)
    for name in destinations:
        outbox.queue(session, of.id, name, objects, confirm=False, now=NOON)
    job_states.move(session, of.id, JobState.SENDING)
    for name in destinations:
        for line in outbox.waiting_lines(session, name, of.id, DATA):
            outbox.begin_attempt(session, line)
            if answer is not None:
                delivered = NOON if answer is OutboxState.DELIVERED else None
                outbox.move(session, line.line, answer, "0x0000", delivered=delivered)
    job_states.settle(session, of.id, NOON)
