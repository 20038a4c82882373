"""Changes of a job's state: each follows the table in `node.database.jobs` and leaves an event with its time."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, insert, literal, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from node.config import Configuration
from node.database import outbox, taking_back
from node.database.after_commit import after_commit
from node.database.jobs import BY_HAND, NEXT, ON_REQUEST, Job, JobState
from node.database.outbox import UNSETTLED
from node.database.queue_places import IS_HELD
from node.database.states import ForbiddenTransition, OutboxState, require
from node.database.tables import EventRow, Instant, JobRow, OutboxRow, SeriesRow, StudyRow, WithdrawalRow
from node.errors import JobNotFound
from node.metrics import JOBS_ENDED, LATENCY, QUEUE_WAIT

CANCELLED = "cancelled by an operator"
NOT_BEGUN = ("", "prepare")  # steps of a job that may be held
PAGE = 500  # jobs that a search looks at, at a time
MANY = 500  # series of a job that are looked at, for when its images came
ENDED = (JobState.DONE, JobState.UNSUITABLE, JobState.FAILED)


def node_name(configuration: Configuration) -> str:
    """This node among all that share the database: made from the machine's name and the data folder.

    It is the same at every start, so a node that comes back resumes its own work at once.
    """
    place = hashlib.sha256(str(configuration.node.data.resolve()).encode()).hexdigest()[:8]
    return f"{socket.gethostname()}:{place}"


def path_name(configuration: Configuration) -> str:
    """`node_name`, fit for a path: what nodes that share a data folder keep there each for itself lies under it."""
    return node_name(configuration).replace(":", "-")


def record(session: Session, job: Job, now: datetime | None = None) -> bool:
    """Write a new job down as queued; False, and nothing written, where it is known already."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    added = session.execute(
        dialect.insert(JobRow)
        .values(
            id=job.id,
            route=job.route,
            pipeline=job.pipeline,
            study_instance_uid=job.study_instance_uid,
            series_instance_uids=list(job.series_instance_uids),
            sop_instance_uids=list(job.sop_instance_uids),
            settings=dict(job.settings),
            destinations=list(job.destinations),
            conditions={name: dict(when) for name, when in job.conditions.items()} or None,
            priority=job.priority,
            shadow=job.shadow,
            revision=job.revision,
            state=JobState.QUEUED,
            predecessor=job.predecessor,
            created=job.created,
            updated=now or datetime.now(UTC),
        )
        .on_conflict_do_nothing()
        .returning(JobRow.id)
    ).scalar()
    if added is None:
        return False
    note(session, job.id, "queued", now=now)
    return True


def locked(session: Session, job_id: str) -> JobRow:
    """The job's row, locked until the session's transaction ends.

    The lock is taken by writing: SQLite knows no SELECT FOR UPDATE, and a transaction there that reads first may
    find at its first write that another one has written meanwhile.

    Raises
    ------
    JobNotFound
    """
    known = session.execute(
        update(JobRow).where(JobRow.id == job_id).values(attempt=JobRow.attempt).returning(JobRow.id)
    ).scalar()
    if known is None:
        raise JobNotFound(f"no job has the id {job_id}")
    return session.get_one(JobRow, job_id, populate_existing=True)


def move(
    session: Session,
    job_id: str,
    state: JobState,
    *,
    reason: str = "",
    detail: str = "",
    now: datetime | None = None,
) -> JobRow:
    """Bring a job into `state` and note it; a job that is in `state` already is left as it is.

    Parameters
    ----------
    job_id
        Of the job.
    state
        To be in afterwards.
    reason
        Why, for the job's row: what failed, or was unsuitable.
    detail
        What the timeline says beside the state; `reason` where it is empty.
    now
        The time, timezone aware; by default that of the system.

    Raises
    ------
    JobNotFound
    ForbiddenTransition
        If the table in `node.database.jobs` does not have it.
    """
    job = locked(session, job_id)
    if job.state == state:
        return job
    require(NEXT, f"job {job_id}", JobState(job.state), state)
    _count(session, job, state, now or datetime.now(UTC))
    job.state, job.reason, job.updated = state, reason, now or datetime.now(UTC)
    if state == JobState.QUEUED:
        job.step, job.attempt = "", 0
    job.cleaned = None  # what it makes now is cleaned up in its turn
    note(session, job_id, state.value, detail or reason, now=now)
    return job


def _count(session: Session, job: JobRow, state: JobState, now: datetime) -> None:
    """Have the change be counted, with how long it took, once it is committed."""
    name = (job.pipeline, job.route)
    if job.state == JobState.QUEUED and state == JobState.RUNNING:
        wait_s = max(0.0, (now - job.updated).total_seconds())
        after_commit(session, lambda: QUEUE_WAIT.labels(*name).observe(wait_s))
    elif state in ENDED:
        after_commit(session, JOBS_ENDED.labels(*name, state.value).inc)
        if state == JobState.DONE and (latency_s := _latency_s(session, job, now)) is not None:
            after_commit(session, lambda: LATENCY.labels(*name).observe(latency_s))


def _latency_s(session: Session, job: JobRow, now: datetime) -> float | None:
    """Seconds from the last image of a job to its delivery; None where nobody waited for it since then.

    So it is of what a route ran in shadow, and of what was done before and is sent again.
    """
    done_before = select(EventRow.id).where(EventRow.job_id == job.id, EventRow.what == JobState.DONE.value).limit(1)
    if job.shadow or not waits_since_its_images(session, job) or session.scalar(done_before) is not None:
        return None
    last = session.scalar(select(func.max(SeriesRow.last_received, type_=Instant)).where(*series_of(job)))
    return None if last is None else max(0.0, (now - min(last, job.created)).total_seconds())  # later: another job's


def waits_since_its_images(session: Session, job: JobRow) -> bool:
    """Whether a job was decided about when its images had come; not by an operator, nor once more, nor on request."""
    if job.route in (BY_HAND, ON_REQUEST) or not job.series_instance_uids:
        return False
    by_series = session.scalar(select(func.max(SeriesRow.completed, type_=Instant)).where(*series_of(job)))
    by_study = session.scalar(select(StudyRow.completed).where(StudyRow.study_instance_uid == job.study_instance_uid))
    decided = [moment for moment in (by_series, by_study) if moment is not None]
    return not decided or max(decided) >= job.created  # a decision is written down after its jobs


def series_of(job: JobRow) -> tuple[ColumnElement[bool], ...]:
    """The series of a job; of very many the first."""
    return (
        SeriesRow.study_instance_uid == job.study_instance_uid,
        SeriesRow.series_instance_uid.in_(job.series_instance_uids[:MANY]),
    )


def wait_again(session: Session, job_id: str, now: datetime | None = None) -> None:
    """Have a running job be queued again, as no worker is at it: it goes on where it was. Others stay as they are."""
    job = locked(session, job_id)
    if job.state == JobState.RUNNING:
        job.state, job.updated = JobState.QUEUED, now or datetime.now(UTC)
        note(session, job_id, "queued", "again, where it was", now=now)


def hold(session: Session, job_id: str, why: str, now: datetime | None = None) -> bool:
    """Hold a job that is queued and not begun; whether it is held."""
    return job_id in _hold(session, why, now, JobRow.id == job_id)


def hold_route(session: Session, route: str, why: str, now: datetime | None = None) -> Sequence[str]:
    """Hold all jobs of a route that are queued and not begun; the ids of all that are held."""
    return _hold(session, why, now, JobRow.route == route)


def _hold(session: Session, why: str, now: datetime | None, *where: ColumnElement[bool]) -> Sequence[str]:
    waiting = (JobRow.state == JobState.QUEUED, JobRow.step.in_(NOT_BEGUN), *where)
    news = session.scalars(update(JobRow).where(*waiting, JobRow.reason != why).values(reason=why).returning(JobRow.id))
    for job_id in news.all():
        note(session, job_id, "held", why, now=now)
    return session.scalars(select(JobRow.id).where(*waiting)).all()


def held_jobs(session: Session, route: str) -> Sequence[str]:
    """The jobs of a route that are held, in the order in which they run."""
    order = (JobRow.priority, JobRow.created, JobRow.id)
    return session.scalars(select(JobRow.id).where(IS_HELD, JobRow.route == route).order_by(*order)).all()


def held_routes(session: Session) -> Sequence[str]:
    """The routes with jobs that are held."""
    return session.scalars(select(JobRow.route).where(IS_HELD).distinct()).all()


def release(session: Session, job_id: str, now: datetime | None = None) -> None:
    """Hold a job no longer."""
    job = locked(session, job_id)
    if job.state == JobState.QUEUED and job.reason:
        job.reason = ""
        note(session, job_id, "goes on", now=now)


def count_start(session: Session, job_id: str, step: str, most: int) -> int | None:
    """Count that a worker begins with a step of the job: how often it has now begun with it since the job was queued.

    None, and nothing counted, where it was begun `most` times already.

    Parameters
    ----------
    job_id
        Of the job.
    step
        Name of the step; the count begins anew with each.
    most
        How often it may be begun.
    """
    job = locked(session, job_id)
    starts = job.attempt if job.step == step else 0
    if starts >= most:
        return None
    job.step, job.attempt = step, starts + 1
    session.flush()
    return starts + 1


def take_back_start(session: Session, job_id: str) -> None:
    """Take back the last start of a step: the node was stopped, and that is not the step's fault."""
    job = locked(session, job_id)
    job.attempt = max(0, job.attempt - 1)
    session.flush()


def revised(session: Session, job: JobRow) -> tuple[str, ...]:
    """Ids of the jobs that a job revises: its predecessor first, then that one's."""
    found: list[str] = []
    earlier = job.predecessor
    while earlier is not None and earlier not in found:
        found.append(earlier)
        earlier = session.scalar(select(JobRow.predecessor).where(JobRow.id == earlier))
    return tuple(found)


def note_version(session: Session, job_id: str, pipeline_version: str) -> None:
    """Write down the version of the pipeline that the job runs."""
    session.execute(update(JobRow).where(JobRow.id == job_id).values(pipeline_version=pipeline_version))


def note_weights(session: Session, job_id: str, weights: str) -> None:
    """Write down the digest of the weights that the job runs with, and that its result names."""
    session.execute(update(JobRow).where(JobRow.id == job_id).values(weights=weights))


def note_hand_over(session: Session, job_id: str, traces: Mapping[str, Any]) -> None:
    """Write down by destination, clause by clause, why it gets what the job has made, or does not."""
    job = locked(session, job_id)
    job.hand_over = {**(job.hand_over or {}), **traces}
    session.flush()


def add_destinations(
    job: JobRow, names: Sequence[str], *, kept: Sequence[str], conditions: Mapping[str, Mapping[str, object]]
) -> None:
    """Have a job go to these destinations as well as to those kept; on these conditions and no others."""
    others = {name: when for name, when in (job.conditions or {}).items() if name in kept and name not in names}
    job.destinations = list(dict.fromkeys([*kept, *names]))
    job.conditions = {**others, **{name: dict(when) for name, when in conditions.items() if name in names}} or None


def note_prior(session: Session, job_id: str, prior: dict[str, Any]) -> None:
    """Write down which earlier report the job was given, or that it was given none."""
    session.execute(update(JobRow).where(JobRow.id == job_id).values(prior=prior))


def note(
    session: Session,
    job_id: str,
    what: str,
    detail: str = "",
    seconds: float | None = None,
    now: datetime | None = None,
) -> None:
    """Add a line to the job's timeline, which is for people: nothing is decided by it.

    Parameters
    ----------
    job_id
        Of the job.
    what
        What happened, in a word or two.
    detail
        More about it.
    seconds
        How long it took, where it took time.
    now
        The time, timezone aware; by default that of the system.
    """
    session.execute(
        insert(EventRow).values(job_id=job_id, what=what, detail=detail, at=now or datetime.now(UTC), seconds=seconds)
    )


def require_standing(job: JobRow) -> None:
    """Nothing more is made or sent of a job whose result was taken back, or which was rejected, or its images.

    Raises
    ------
    ForbiddenTransition
        If that is so.
    """
    if job.rejected:
        raise ForbiddenTransition(f"job {job.id} is neither run nor sent again: {job.rejected}")
    if job.withdrawn is not None:
        raise ForbiddenTransition(
            f"job {job.id} was withdrawn by {job.withdrawn_by} ({job.withdrawn_why}); what was taken back is not sent "
            "again: run the pipeline with another version, model or settings"
        )


def restart(session: Session, job_id: str, detail: str) -> None:
    """Queue a job that failed or was unsuitable once more.

    Raises
    ------
    JobNotFound
    ForbiddenTransition
        If it is neither, was withdrawn, or its images were rejected.
    """
    job = locked(session, job_id)
    require_standing(job)
    state = JobState(job.state)
    if state not in (JobState.FAILED, JobState.UNSUITABLE):
        raise ForbiddenTransition(f"job {job_id} is {state}; only a failed or unsuitable job is restarted")
    move(session, job_id, JobState.QUEUED, detail=detail)


def send_to(
    session: Session,
    job_id: str,
    destinations: Sequence[str],
    detail: str,
    conditions: Mapping[str, Mapping[str, object]] | None = None,
) -> None:
    """Queue a job that has ended once more, to go to these destinations too.

    What a shadow job made, or what an operator cancelled, goes to these only; to those with `conditions` (as
    `Job.conditions`), if the result meets them.

    Raises
    ------
    JobNotFound
    ForbiddenTransition
        If it is under way: what is being sent is not encoded anew; or if it was withdrawn or rejected.
    """
    before = locked(session, job_id)
    require_standing(before)
    if before.state in (JobState.QUEUED, JobState.RUNNING):
        raise ForbiddenTransition(f"job {job_id} is {before.state}; wait until it has made its objects")
    if before.state == JobState.SENDING:
        raise ForbiddenTransition(
            f"job {job_id} is being sent, and what {' and '.join(destinations)} would get has to be encoded first, "
            "which is only done while nothing of it waits: wait until it is done, or cancel it"
        )
    cancelled = before.reason.startswith(CANCELLED)
    job = move(session, job_id, JobState.QUEUED, detail=detail)
    kept = [] if job.shadow or cancelled else job.destinations
    add_destinations(job, destinations, kept=kept, conditions=conditions or {})
    job.shadow = False


def send_again(session: Session, job_id: str, detail: str) -> None:
    """Have a job that is done send again; one that has ended otherwise stays as it ended."""
    if locked(session, job_id).state == JobState.DONE:
        move(session, job_id, JobState.SENDING, detail=detail)


def cancel(session: Session, job_id: str, now: datetime | None = None) -> None:
    """End a job at the wish of an operator: what it has not sent yet is not sent, and its reason says how much was.

    Raises
    ------
    JobNotFound
    ForbiddenTransition
        If it has ended already.
    """
    state = locked(session, job_id).state
    if state == JobState.FAILED:
        raise ForbiddenTransition(f"job {job_id} is {state} already")
    outbox.cancel(session, job_id, CANCELLED)
    move(session, job_id, JobState.FAILED, reason=_cancelled(session, job_id), now=now)


def stop(session: Session, job_id: str, why: str, now: datetime) -> None:
    """End a job that is under way, though it could go on: what it has not sent yet is not sent.

    Raises
    ------
    JobNotFound
    ForbiddenTransition
        If it has ended already.
    """
    outbox.cancel(session, job_id, why)
    move(session, job_id, JobState.FAILED, reason=_with_sent(session, job_id, why), now=now)


def note_rejected(session: Session, job_id: str, why: str, now: datetime) -> None:
    """Write down that images of the job, or objects that it made, were rejected; what was known before is replaced."""
    session.execute(update(JobRow).where(JobRow.id == job_id).values(rejected=why))
    note(session, job_id, "rejected", why, now=now)


def _cancelled(session: Session, job_id: str) -> str:
    return _with_sent(session, job_id, CANCELLED)


def _with_sent(session: Session, job_id: str, why: str) -> str:
    """Why a job was ended, with how many of its objects each destination has got."""
    sent = func.count().filter(OutboxRow.state.in_((OutboxState.DELIVERED, OutboxState.CONFIRMED)))
    counts = session.execute(
        select(OutboxRow.destination, sent, func.count())
        .where(OutboxRow.job_id == job_id, OutboxRow.state != OutboxState.SKIPPED)
        .group_by(OutboxRow.destination)
        .order_by(OutboxRow.destination)
    )
    return "; ".join([why, *(f"{number} of {of} sent to {name}" for name, number, of in counts)])


def settle(session: Session, job_id: str, now: datetime | None = None) -> None:
    """Close a job whose outbox has no open line left: done, or failed where a destination refused an object.

    A job that is not being sent is left alone, so a late answer changes nothing that an operator decided; it counts in
    the reason of a job that was cancelled.
    """
    job = locked(session, job_id)
    if job.state == JobState.FAILED and job.reason.startswith(CANCELLED):
        job.reason = _cancelled(session, job_id)
    if job.state != JobState.SENDING:
        return
    lines = select(OutboxRow).where(OutboxRow.job_id == job_id)
    if session.scalars(lines.where(UNSETTLED).limit(1)).first() is not None:
        return
    refused = session.scalars(lines.where(outbox.REFUSED_OF_RESULT).order_by(OutboxRow.id)).all()
    counts = session.execute(
        select(OutboxRow.state, func.count())
        .where(OutboxRow.job_id == job_id)
        .group_by(OutboxRow.state)
        .order_by(OutboxRow.state)
    ).all()
    summary = ", ".join(f"{count} {state}" for state, count in counts)
    if refused:
        why = f"{refused[0].destination}: {refused[0].answer} ({summary})"
        move(session, job_id, JobState.FAILED, reason=why, now=now)
    else:
        move(session, job_id, JobState.DONE, detail=summary, now=now)
    now = now or datetime.now(UTC)
    for destination in taking_back.supersede(session, job, revised(session, job), now):
        what = f"{destination} keeps the earlier result: this one does not go there"
        note(session, job_id, "earlier result stays", what, now=now)


def settle_left_over(session: Session, after: Place | None = None, now: datetime | None = None) -> Place | None:
    """Close jobs whose lines are all settled and which are open still, because the node died in between.

    Looks at `PAGE` of the jobs that are being sent: many may be, for as long as a destination is down.

    Parameters
    ----------
    after
        Where the last call stopped.
    now
        The time, timezone aware; by default that of the system.

    Returns
    -------
    Place | None
        Where to go on; None after the last of them.
    """
    page = page_of(session, JobState.SENDING, after)
    open_line = select(OutboxRow.id).where(OutboxRow.job_id == JobRow.id, UNSETTLED).exists()
    ids = [place.job_id for place in page]
    for job_id in session.scalars(select(JobRow.id).where(JobRow.id.in_(ids), ~open_line)).all():
        settle(session, job_id, now)
    return page[-1] if len(page) == PAGE else None


class Place(NamedTuple):
    """Where a job stands among others, the oldest first."""

    at: datetime
    job_id: str


def page_of(session: Session, state: JobState, after: Place | None) -> list[Place]:
    """The next `PAGE` jobs in a state behind a place, by when they were created; from the first where it is None."""
    return _page(session, JobRow.created, after, JobRow.state == state)


def page_to_clean(session: Session, before: datetime, after: Place | None) -> list[Place]:
    """The next `PAGE` jobs that were last changed before a moment and have not been cleaned up; some are under way."""
    return _page(session, JobRow.updated, after, JobRow.cleaned.is_(None), JobRow.updated < before)


def _page(
    session: Session, at: InstrumentedAttribute[datetime], after: Place | None, *where: ColumnElement[bool]
) -> list[Place]:
    query = select(at, JobRow.id).where(*where)
    if after is not None:
        query = query.where(tuple_(at, JobRow.id) > tuple_(literal(after.at, at.type), after.job_id))
    return [Place(*row) for row in session.execute(query.order_by(at, JobRow.id).limit(PAGE))]


def free_to_clean(session: Session, job_ids: Sequence[str]) -> list[str]:
    """Those of the jobs that have ended and have no object that may still be sent, or is being taken back."""
    open_line = select(OutboxRow.id).where(OutboxRow.job_id == JobRow.id, UNSETTLED | outbox.REFUSED_OF_RESULT)
    ended = JobRow.state.in_((JobState.DONE, JobState.UNSUITABLE, JobState.FAILED))
    taken_back = select(WithdrawalRow.id).where(WithdrawalRow.job_id == JobRow.id, taking_back.IS_OPEN)
    return list(
        session.scalars(
            select(JobRow.id).where(JobRow.id.in_(job_ids), ended, ~open_line.exists(), ~taken_back.exists())
        )
    )


def note_cleaned(session: Session, job_ids: Sequence[str], now: datetime) -> None:
    """Write down that the folders and checkpoints of jobs were deleted."""
    session.execute(update(JobRow).where(JobRow.id.in_(job_ids)).values(cleaned=now))
