"""What the records say of a job that has ended, and of the way of its images to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from node.database import job_states
from node.database.connection import Database
from node.database.job_states import ENDED, Place
from node.database.queries import in_chunks
from node.database.states import OutboxState
from node.database.tables import DecisionRow, EventRow, Instant, JobRow, ObjectRow, OutboxRow, SeriesRow


@dataclass(frozen=True)
class Delivery:
    """What became of the objects of a job at one destination."""

    destination: str
    objects: int
    taken: int
    refused: int
    size: int  # bytes, of all of them
    attempts: int  # the most that one of them took
    last: datetime | None  # when the destination took the last


@dataclass(frozen=True)
class Reception:
    """When the images of a job came, and when it was decided about them."""

    first: datetime
    last: datetime
    decided: datetime | None  # when that was written down; None: the history has gone


@dataclass(frozen=True)
class EndedJob:
    """A job that has ended."""

    row: JobRow
    events: Sequence[EventRow]  # in their order
    deliveries: Sequence[Delivery]
    reception: Reception | None  # None: it was not decided about when its images came


def ended_jobs(database: Database, before: datetime, after: Place) -> tuple[list[EndedJob], Place | None]:
    """A page of the jobs that ended behind a place and before a moment; where to go on, None where all were seen.

    What was cleaned up meanwhile is left out.
    """
    with Session(database, expire_on_commit=False) as session:
        page = job_states.page_to_clean(session, before, after)
        found = [
            _ended_job(session, row)
            for ids in in_chunks([place.job_id for place in page])
            for row in session.scalars(select(JobRow).where(JobRow.id.in_(ids), JobRow.state.in_(ENDED)))
        ]
    return sorted(found, key=lambda job: (job.row.updated, job.row.id)), page[-1] if page else None


def _ended_job(session: Session, row: JobRow) -> EndedJob:
    events = session.scalars(select(EventRow).where(EventRow.job_id == row.id).order_by(EventRow.id)).all()
    return EndedJob(row, events, list(_deliveries(session, row.id)), _reception(session, row))


def _deliveries(session: Session, job_id: str) -> Iterator[Delivery]:
    taken = OutboxRow.state.in_((OutboxState.DELIVERED, OutboxState.CONFIRMED))
    rows = session.execute(
        select(
            OutboxRow.destination,
            func.count(),
            func.sum(case((taken, 1), else_=0)),
            func.sum(case((OutboxRow.state == OutboxState.REFUSED, 1), else_=0)),
            func.sum(ObjectRow.size),
            func.max(OutboxRow.attempts),
            func.max(OutboxRow.delivered, type_=Instant),
        )
        .join(ObjectRow, ObjectRow.sop_instance_uid == OutboxRow.sop_instance_uid)
        .where(OutboxRow.job_id == job_id)
        .group_by(OutboxRow.destination)
        .order_by(OutboxRow.destination)
    )
    for destination, objects, delivered, refused, size, attempts, last in rows:
        yield Delivery(destination, objects, int(delivered), int(refused), int(size), attempts, last)


def _reception(session: Session, row: JobRow) -> Reception | None:
    if not job_states.waits_since_its_images(session, row):
        return None
    of_job = job_states.series_of(row)
    first = session.scalar(select(func.min(SeriesRow.first_received, type_=Instant)).where(*of_job))
    last = session.scalar(select(func.max(SeriesRow.last_received, type_=Instant)).where(*of_job))
    if first is None or last is None:
        return None
    decided = session.scalar(
        select(func.min(DecisionRow.decided, type_=Instant)).where(
            DecisionRow.study_instance_uid == row.study_instance_uid, DecisionRow.job_id == row.id
        )
    )
    return Reception(min(first, row.created), min(last, row.created), decided)
