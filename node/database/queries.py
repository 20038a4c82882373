"""What the database says of jobs: for the command line, the status page and tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.jobs import JobState
from node.database.tables import EventRow, JobRow, ObjectRow, OutboxRow
from node.errors import JobNotFound

T = TypeVar("T")
IN_CLAUSE = 500  # values: SQLite's builds take 999 parameters in a statement, and others go into it too


@dataclass(frozen=True)
class JobView:
    """One job, whole: its record, its timeline, what it made and where that went."""

    job: JobRow
    events: Sequence[EventRow]
    objects: Sequence[ObjectRow]
    outbox: Sequence[OutboxRow]


def list_jobs(database: Database, states: Sequence[JobState] = (), limit: int = 100) -> list[JobRow]:
    """The newest jobs first, of the given states only where any are given."""
    query = select(JobRow).order_by(JobRow.created.desc(), JobRow.id).limit(limit)
    if states:
        query = query.where(JobRow.state.in_(states))
    with Session(database) as session:
        return list(session.scalars(query))


def show_job(database: Database, job_id: str) -> JobView:
    """All about the job whose id is, or uniquely begins with, `job_id`.

    Raises
    ------
    JobNotFound
    """
    with Session(database) as session:
        found = session.scalars(select(JobRow).where(JobRow.id.startswith(job_id, autoescape=True)).limit(2)).all()
        if len(found) != 1 or not job_id:
            raise JobNotFound(f"{'several jobs have' if found else 'no job has'} an id that begins with {job_id!r}")
        (job,) = found
        return JobView(
            job,
            session.scalars(select(EventRow).where(EventRow.job_id == job.id).order_by(EventRow.id)).all(),
            session.scalars(
                select(ObjectRow)
                .where(ObjectRow.job_id == job.id)
                .order_by(ObjectRow.order, ObjectRow.sop_instance_uid)
            ).all(),
            session.scalars(
                select(OutboxRow)
                .where(OutboxRow.job_id == job.id)
                .order_by(OutboxRow.destination, OutboxRow.order, OutboxRow.id)
            ).all(),
        )


def counts(database: Database) -> dict[str, int]:
    """How many jobs are in each state."""
    with Session(database) as session:
        rows = session.execute(select(JobRow.state, func.count()).group_by(JobRow.state))
        return dict(rows.all())


def in_chunks(values: Iterable[T], size: int = IN_CLAUSE) -> Iterator[list[T]]:
    """`values` in lists that one ``IN (...)`` can hold, in their order."""
    remaining = iter(values)
    while chunk := list(islice(remaining, size)):
        yield chunk
