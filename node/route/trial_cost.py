"""What a change of routes costs: jobs a day, and the time of workers, by how long such jobs took lately."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.job_times import job_times
from node.database.tables import JobRow
from node.route.trial import Trial

LOOKED_BACK = timedelta(days=30)  # for how long jobs take


@dataclass(frozen=True)
class PipelineCost:
    """Jobs of one pipeline by the routes that are changed, on a day, before and after."""

    pipeline: str
    before: float
    after: float
    seconds: float | None  # that a worker is on one of them; None: none ran lately

    @property
    def more_jobs(self) -> float:
        """How many more jobs a day; below 0: fewer."""
        return self.after - self.before

    @property
    def more_s(self) -> float | None:
        """How much more time of workers a day, in seconds; None where that is not known."""
        return None if self.seconds is None else self.more_jobs * self.seconds


def trial_costs(database: Database, trial: Trial, now: datetime) -> tuple[PipelineCost, ...]:
    """By pipeline.

    Parameters
    ----------
    now
        Timezone aware; the trial is of the days before it.
    """
    days = max((now - trial.since) / timedelta(days=1), 1 / 24)
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    names: dict[str, dict[str, None]] = {}
    for count in trial.counts:
        change = count.change
        for side, route, number in ((before, change.before, count.before), (after, change.after, count.after)):
            if route is not None:
                side[route.pipeline] = side.get(route.pipeline, 0.0) + number / days
                names.setdefault(route.pipeline, {})[count.change.name] = None
    with Session(database) as session:
        return tuple(
            PipelineCost(
                pipeline,
                before.get(pipeline, 0.0),
                after.get(pipeline, 0.0),
                _seconds(session, pipeline, routes, now - LOOKED_BACK),
            )
            for pipeline, routes in names.items()
        )


def _seconds(session: Session, pipeline: str, routes: Iterable[str], since: datetime) -> float | None:
    """The mean time of a job, of these routes if they had any, else of another one with that pipeline."""
    latest = select(JobRow.route).where(JobRow.created >= since, JobRow.pipeline == pipeline)
    other = session.scalar(latest.order_by(JobRow.created.desc()).limit(1))
    for route in [*routes, *([other] if other else [])]:
        ran = session.scalar(
            select(JobRow.pipeline).where(JobRow.route == route).order_by(JobRow.created.desc()).limit(1)
        )
        if ran == pipeline and (times := job_times(session, route, since)) is not None:
            return times.mean_s
    return None
