"""Verdicts of readers: each is stored once, and the latest of a reader about a finding counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.database.tables import JobRow, VerdictRow


def store(session: Session, rows: Sequence[VerdictRow]) -> int:
    """Add the verdicts that are not there yet; how many that were.

    They must be of jobs that are there.
    """
    new = 0
    for row in rows:
        session.execute(select(JobRow.id).where(JobRow.id == row.job_id).with_for_update())  # one after the other
        if session.get(VerdictRow, row.id) is None:
            session.add(row)
            session.flush()
            new += 1
        _settle(session, row)
    return new


def standing(session: Session, job_id: str) -> Iterator[VerdictRow]:
    """The verdicts on a job that no later one takes the place of, oldest first."""
    counts = (VerdictRow.job_id == job_id, VerdictRow.superseded.is_(False))
    yield from session.scalars(select(VerdictRow).where(*counts).order_by(VerdictRow.observed, VerdictRow.id))


def _settle(session: Session, row: VerdictRow) -> None:
    """Of all that one reader says about one finding, let the latest word stand."""
    about = [
        VerdictRow.job_id == row.job_id,
        VerdictRow.tracking_uid == row.tracking_uid,
        VerdictRow.observer == row.observer,
    ]
    if not row.tracking_uid:
        about.append(VerdictRow.object_uid == row.object_uid)
    if not row.observer:  # nobody is named: the device stands for the reader
        about.append(VerdictRow.device == row.device)
    order = (VerdictRow.observed.desc(), VerdictRow.received.desc(), VerdictRow.id)
    said = session.scalars(select(VerdictRow.id).where(*about).order_by(*order)).all()
    session.execute(update(VerdictRow).where(*about).values(superseded=VerdictRow.id != said[0]))
