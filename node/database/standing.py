"""How things stand, for whoever watches the node: each question is answered by an index of the few rows it is about.

A node that has made a million results answers as fast as a new one: what has ended is in none of these indexes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.orm import Session

from node.database import outbox
from node.database.jobs import JobState
from node.database.tables import ExecutorRow, InstanceRow, Instant, JobRow, OutboxRow, SeriesRow

OPEN = (JobState.QUEUED, JobState.RUNNING, JobState.SENDING)

# The values stand in the statement itself: only so a database sees that an index of such rows will do.
_IS_OPEN: ColumnElement[bool] = JobRow.state.in_([literal(one.value, literal_execute=True) for one in OPEN])
_GIVEN_UP: ColumnElement[bool] = InstanceRow.given_up != literal("", literal_execute=True)


@dataclass(frozen=True)
class OpenJobs:
    """The jobs of one pipeline in one state that is not their last."""

    pipeline: str
    state: JobState
    count: int
    since: datetime  # when the first of them came into it


@dataclass(frozen=True)
class Waiting:
    """What waits for a destination."""

    destination: str
    objects: int
    since: datetime  # when the job of the first of them was made


def open_jobs(session: Session) -> list[OpenJobs]:
    """The jobs that have not ended, by pipeline and state."""
    rows = session.execute(
        select(JobRow.pipeline, JobRow.state, func.count(), func.min(JobRow.updated, type_=Instant))
        .where(_IS_OPEN)
        .group_by(JobRow.pipeline, JobRow.state)
    )
    return [OpenJobs(pipeline, JobState(state), count, since) for pipeline, state, count, since in rows if since]


def waiting(session: Session, destinations: Iterable[str]) -> list[Waiting]:
    """What waits, of those of the destinations for which anything does.

    Each is asked for by name: of all together, a database may read every line that was ever sent.
    """
    found = []
    for name in destinations:
        here = (OutboxRow.destination == name, outbox.WAITS)
        count, first = session.execute(select(func.count(), func.min(OutboxRow.id)).where(*here)).one()
        if count:
            job = select(OutboxRow.job_id).where(OutboxRow.id == first).scalar_subquery()
            since = session.scalars(select(JobRow.created).where(JobRow.id == job)).one()
            found.append(Waiting(name, count, since))
    return found


def images_given_up(session: Session) -> int:
    """How many images are stored that are not read any more."""
    return session.scalars(select(func.count()).select_from(InstanceRow).where(_GIVEN_UP)).one()


def last_image(session: Session) -> datetime | None:
    """When the last image came, of those that are stored; None where there is none."""
    return session.scalar(select(func.max(SeriesRow.last_received, type_=Instant)))


def heartbeats(session: Session) -> dict[str, datetime]:
    """When each process that runs jobs reported last, by the database's clock."""
    return {row.id: row.seen for row in session.scalars(select(ExecutorRow).order_by(ExecutorRow.id))}
