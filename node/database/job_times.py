"""How long jobs keep a worker: seconds of their steps, of the latest jobs of a route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from statistics import fmean, median

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.database.jobs import JobState
from node.database.queries import in_chunks
from node.database.tables import EventRow, JobRow

STEPS = ("prepare", "infer", "encode")  # in which a worker is on the job
LATEST = 300  # jobs that are looked at
RAN = (JobState.SENDING, JobState.DONE)


@dataclass(frozen=True)
class JobTimes:
    """Seconds that a worker was on the latest jobs of a route that came to a result."""

    jobs: int  # that were looked at
    median_s: float
    p95_s: float
    mean_s: float


def job_times(session: Session, route: str, since: datetime, latest: int = LATEST) -> JobTimes | None:
    """Of one route; None where no job of it has a result since then.

    Parameters
    ----------
    since
        Jobs that were created then or later.
    latest
        How many of them are looked at.
    """
    jobs = session.scalars(
        select(JobRow.id)
        .where(JobRow.route == route, JobRow.created >= since, JobRow.state.in_(RAN))
        .order_by(JobRow.created.desc())
        .limit(latest)
    ).all()
    seconds: list[float] = []
    for chunk in in_chunks(jobs):
        query = (
            select(func.sum(EventRow.seconds))
            .where(EventRow.job_id.in_(chunk), EventRow.what.in_(STEPS))
            .group_by(EventRow.job_id)
        )
        seconds += [one for one in session.scalars(query) if one is not None]
    return _times(sorted(seconds))


def _times(seconds: Sequence[float]) -> JobTimes | None:
    if not seconds:
        return None
    p95 = seconds[ceil(0.95 * len(seconds)) - 1]
    return JobTimes(len(seconds), median(seconds), p95, fmean(seconds))
