"""How long a queued job still waits: how many jobs are before it, and what such jobs took lately."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.database.jobs import JobState
from node.database.tables import EventRow, JobRow

SHOWN = 5000  # jobs in the queue that have a place; of those behind, nobody asks
RECENT = 2000  # jobs that are done, the latest, among which those of a pipeline are looked for
OF_EACH = 15  # of a pipeline, the latest, whose median counts
STATES = tuple(JobState)
IS_HELD = and_(JobRow.state == JobState.QUEUED, JobRow.reason != "")  # the only reason that a queued job has


@dataclass(frozen=True)
class QueuePlace:
    """Where a queued job stands."""

    ahead: int  # jobs before it: those that run, and those in the queue that a worker takes first
    running: int  # of these
    about_s: float | None  # until a worker takes it, as such jobs took lately; None where that is not known

    @property
    def sentence(self) -> str:
        """For people."""
        if not self.ahead:
            return "next"
        running = f", {self.running} running" if self.running else ""
        about = "" if self.about_s is None else f", about {rough_duration(self.about_s)}"
        return f"{counted(self.ahead, 'job')} before it{running}{about}"


@dataclass(frozen=True)
class _Waiting:
    job_id: str
    pipeline: str


def queue_places(session: Session, workers: int, now: datetime) -> Mapping[str, QueuePlace]:
    """The place of each queued job, by its id; jobs that are held have none.

    Parameters
    ----------
    session
        On the node's database.
    workers
        How many jobs run at the same time.
    now
        The time, timezone aware.
    """
    waiting = [
        _Waiting(*row)
        for row in session.execute(
            select(JobRow.id, JobRow.pipeline)
            .where(JobRow.state == JobState.QUEUED, ~IS_HELD)
            .order_by(JobRow.priority, JobRow.created, JobRow.id)
            .limit(SHOWN)
        )
    ]
    if not waiting:
        return {}
    running = session.execute(
        select(JobRow.pipeline, JobRow.updated).where(JobRow.state == JobState.RUNNING).limit(SHOWN)
    ).all()
    usual = usual_seconds(session, {job.pipeline for job in waiting} | {row.pipeline for row in running})
    left = [max(0.0, usual[name] - (now - since).total_seconds()) if name in usual else None for name, since in running]
    ahead_s = None if None in left else sum(one for one in left if one is not None)
    places: dict[str, QueuePlace] = {}
    for before, job in enumerate(waiting):
        about_s = None if ahead_s is None else ahead_s / max(1, workers)
        places[job.job_id] = QueuePlace(before + len(running), len(running), about_s)
        took = usual.get(job.pipeline)
        ahead_s = None if ahead_s is None or took is None else ahead_s + took
    return places


def usual_seconds(session: Session, pipelines: Collection[str]) -> dict[str, float]:
    """What a job of each pipeline takes a worker, the median of the latest; those that ran none lately are left out."""
    latest = select(JobRow.id, JobRow.pipeline).where(JobRow.state == JobState.DONE)
    chosen: dict[str, str] = {}
    numbers: dict[str, int] = defaultdict(int)
    for job_id, pipeline in session.execute(latest.order_by(JobRow.created.desc(), JobRow.id.desc()).limit(RECENT)):
        if pipeline in pipelines and numbers[pipeline] < OF_EACH:
            numbers[pipeline] += 1
            chosen[job_id] = pipeline
    events: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    for job_id, what, at in session.execute(
        select(EventRow.job_id, EventRow.what, EventRow.at)
        .where(EventRow.job_id.in_(chosen), EventRow.what.in_(STATES))
        .order_by(EventRow.id)
    ):
        events[job_id].append((what, at))
    took: dict[str, list[float]] = defaultdict(list)
    for job_id, pipeline in chosen.items():
        if (seconds := worked_seconds(events[job_id])) is not None:
            took[pipeline].append(seconds)
    return {pipeline: statistics.median(seconds) for pipeline, seconds in took.items()}


def worked_seconds(states: Sequence[tuple[str, datetime]]) -> float | None:
    """How long a job was running, from what it became and when; None where it never was."""
    stretches = [(end - start).total_seconds() for (what, start), (_, end) in pairwise(states) if what == "running"]
    return sum(stretches) if stretches else None


def rough_duration(seconds: float) -> str:
    """A duration as one says it: in seconds up to two minutes, in minutes up to two hours."""
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{round(seconds / 3600)} h"
