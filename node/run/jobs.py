"""What the database says of jobs: for the command line, the status page and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine as Database
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.errors import JobNotFound
from node.job import JobState
from node.records import EventRecord, JobRecord, ObjectRecord, OutboxRecord


@dataclass(frozen=True)
class JobView:
    """One job, whole: its record, its timeline, what it made and where that went."""

    job: JobRecord
    events: Sequence[EventRecord]
    objects: Sequence[ObjectRecord]
    outbox: Sequence[OutboxRecord]


def list_jobs(database: Database, states: Sequence[JobState] = (), limit: int = 100) -> list[JobRecord]:
    """The newest jobs first, of the given states only where any are given."""
    query = select(JobRecord).order_by(JobRecord.created.desc(), JobRecord.id).limit(limit)
    if states:
        query = query.where(JobRecord.state.in_(states))
    with Session(database) as session:
        return list(session.scalars(query))


def show_job(database: Database, job_id: str) -> JobView:
    """All about the job whose id is, or uniquely begins with, `job_id`.

    Raises
    ------
    JobNotFound
    """
    with Session(database) as session:
        found = session.scalars(
            select(JobRecord).where(JobRecord.id.startswith(job_id, autoescape=True)).limit(2)
        ).all()
        if len(found) != 1 or not job_id:
            raise JobNotFound(f"{'several jobs have' if found else 'no job has'} an id that begins with {job_id!r}")
        (job,) = found
        return JobView(
            job,
            session.scalars(select(EventRecord).where(EventRecord.job_id == job.id).order_by(EventRecord.id)).all(),
            session.scalars(
                select(ObjectRecord)
                .where(ObjectRecord.job_id == job.id)
                .order_by(ObjectRecord.order, ObjectRecord.sop_instance_uid)
            ).all(),
            session.scalars(
                select(OutboxRecord)
                .where(OutboxRecord.job_id == job.id)
                .order_by(OutboxRecord.destination, OutboxRecord.order, OutboxRecord.id)
            ).all(),
        )


def counts(database: Database) -> dict[str, int]:
    """How many jobs are in each state."""
    with Session(database) as session:
        rows = session.execute(select(JobRecord.state, func.count()).group_by(JobRecord.state))
        return dict(rows.all())
