"""Jobs: in a list, and one whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import literal, select, tuple_
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from node.database.connection import Database
from node.database.jobs import JobState
from node.database.queries import JobView, delivered_counts, list_jobs, show_job
from node.database.states import OutboxState, WithdrawalState
from node.database.tables import DecisionRow, EventRow, Instant, JobRow, ObjectRow, OutboxRow, WithdrawalRow
from node.listings.listing import Listing, PageListing

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class JobListing(Listing):
    """A job in a list."""

    id: str
    state: JobState
    reason: str
    route: str
    pipeline: str
    pipeline_version: str
    study_instance_uid: str
    images: int
    priority: int
    shadow: bool
    created: datetime
    updated: datetime
    withdrawn: datetime | None
    rejected: str
    objects_delivered: int
    objects_to_send: int

    @classmethod
    def of(cls, row: JobRow, delivered: tuple[int, int] = (0, 0)) -> JobListing:
        """The listing of a row, with how many of its objects were delivered, of how many."""
        return cls(**_facts(row, delivered))


class EventListing(Listing):
    """A line of a job's timeline."""

    at: datetime
    what: str
    detail: str
    seconds: float | None


class DeliveryListing(Listing):
    """An object on its way to a destination."""

    destination: str
    state: OutboxState
    attempts: int
    delivered: datetime | None
    answer: str


class ObjectListing(Listing):
    """An object that a job made."""

    kind: str
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    size: int
    sha256: str
    deliveries: list[DeliveryListing]

    @classmethod
    def made(cls, row: ObjectRow, lines: Sequence[OutboxRow]) -> ObjectListing:
        """The listing of a row, with its lines of the outbox."""
        return cls(
            kind=row.kind,
            sop_instance_uid=row.sop_instance_uid,
            sop_class_uid=row.sop_class_uid,
            series_instance_uid=row.series_instance_uid,
            size=row.size,
            sha256=row.sha256,
            deliveries=[DeliveryListing.model_validate(line) for line in lines],
        )


class ReasonListing(Listing):
    """Why a result was taken back."""

    code: str
    meaning: str
    text: str


class WithdrawalListing(Listing):
    """What a job sent to one destination, taken back."""

    job: str
    pipeline: str
    pipeline_version: str
    weights: str
    study_instance_uid: str
    destination: str
    state: WithdrawalState
    way: str
    reason: ReasonListing
    superseded_by: str | None
    withdrawn_by: str
    created: datetime
    objects: int
    held_before: int | None
    held_after: int | None
    still_held: list[str]
    asked: datetime | None
    rejection_note: str | None
    answer: str

    @classmethod
    def of(cls, row: WithdrawalRow, job: JobRow) -> WithdrawalListing:
        """The listing of a row, and of the job whose result it is about."""
        return cls(
            job=row.job_id,
            pipeline=job.pipeline,
            pipeline_version=job.pipeline_version,
            weights=job.weights,
            study_instance_uid=job.study_instance_uid,
            destination=row.destination,
            state=WithdrawalState(row.state),
            way=row.way,
            reason=ReasonListing(code=row.code, meaning=RejectionReason(row.code).meaning, text=row.why),
            superseded_by=row.successor,
            withdrawn_by=job.withdrawn_by if row.successor is None else "",
            created=row.created,
            objects=row.objects,
            held_before=row.held_before,
            held_after=row.held_after,
            still_held=row.still_held,
            asked=row.asked,
            rejection_note=row.note_uid or None,
            answer=row.answer,
        )


class JobDetail(JobListing):
    """A job whole: why it was made, its timeline, what it made and where that went."""

    weights: str
    series_instance_uids: list[str]
    destinations: list[str]
    predecessor: str | None
    why: str | None  # of the decision that made it
    trace: dict[str, Any] | None  # of that decision, clause by clause
    conditions: dict[str, Any]  # by destination with conditions: whether it gets the result, clause by clause
    events: list[EventListing]
    objects: list[ObjectListing]
    withdrawals: list[WithdrawalListing]

    @classmethod
    def whole(cls, view: JobView, decision: DecisionRow | None) -> JobDetail:
        """The listing of a job, with the decision that made it."""
        row = view.row
        done = {OutboxState.DELIVERED, OutboxState.CONFIRMED}
        delivered = sum(line.state in done for line in view.outbox)
        return cls(
            **_facts(row, (delivered, len(view.outbox))),
            weights=row.weights,
            series_instance_uids=row.series_instance_uids,
            destinations=row.destinations,
            predecessor=row.predecessor,
            why=decision.trace.get("why") if decision else None,
            trace=decision.trace if decision else None,
            conditions={name: (row.hand_over or {}).get(name) for name in row.conditions or {}},
            events=[_event(event) for event in view.events],
            objects=[ObjectListing.made(made, view.lines[made.sop_instance_uid]) for made in view.objects],
            withdrawals=[WithdrawalListing.of(one, row) for one in view.withdrawals],
        )


def job_listings(database: Database, states: Sequence[JobState] = (), limit: int = 50) -> list[JobListing]:
    """The latest jobs, of these states only where any are given."""
    rows = list_jobs(database, states, limit)
    counts = delivered_counts(database, [row.id for row in rows])
    return [JobListing.of(row, counts.get(row.id, (0, 0))) for row in rows]


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are wanted; what is empty does not matter."""

    state: JobState | None = None
    route: str = ""
    study_instance_uid: str = ""
    since: datetime | None = None  # of when they were made
    until: datetime | None = None
    before: tuple[datetime, str] | None = None  # when the last of the page before was made, and its id


def job_page(database: Database, wanted: JobFilter, limit: int) -> PageListing[JobListing]:
    """The latest of the jobs that are wanted, from a place on."""
    query = select(JobRow).order_by(JobRow.created.desc(), JobRow.id.desc()).limit(limit + 1)
    for column, value in (
        (JobRow.state, wanted.state),
        (JobRow.route, wanted.route),
        (JobRow.study_instance_uid, wanted.study_instance_uid),
    ):
        if value:
            query = query.where(column == value)
    if wanted.since is not None:
        query = query.where(JobRow.created >= wanted.since)
    if wanted.until is not None:
        query = query.where(JobRow.created < wanted.until)
    if wanted.before is not None:
        at, job_id = wanted.before
        query = query.where(tuple_(JobRow.created, JobRow.id) < tuple_(literal(at, Instant), job_id))
    with Session(database, expire_on_commit=False) as session:
        rows = session.scalars(query).all()
    shown = rows[:limit]
    counts = delivered_counts(database, [row.id for row in shown])
    more = f"{(shown[-1].created - EPOCH) // MICROSECOND}_{shown[-1].id}" if len(rows) > limit else None
    return PageListing[JobListing](items=[JobListing.of(row, counts.get(row.id, (0, 0))) for row in shown], next=more)


def job_detail(database: Database, job_id: str) -> JobDetail:
    """The job whose id is, or begins with, `job_id`.

    Raises
    ------
    JobNotFound
        If there is none, or more than one.
    """
    view = show_job(database, job_id)
    return JobDetail.whole(view, decision_of(database, view.row))


def withdrawal_listings(database: Database, job_id: str = "", limit: int = 100) -> list[WithdrawalListing]:
    """What was taken back, of one job or of all, the latest first."""
    query = select(WithdrawalRow, JobRow).join(JobRow, JobRow.id == WithdrawalRow.job_id)
    query = query.where(WithdrawalRow.job_id == job_id) if job_id else query
    with Session(database) as session:
        rows = session.execute(query.order_by(WithdrawalRow.id.desc()).limit(limit))
        return [WithdrawalListing.of(row, job) for row, job in rows]


def decision_of(database: Database, job: JobRow) -> DecisionRow | None:
    """The last decision that made a job; None where no route did, or the decision is no longer kept."""
    of_job = (DecisionRow.study_instance_uid == job.study_instance_uid, DecisionRow.job_id == job.id)
    with Session(database, expire_on_commit=False) as session:
        return session.scalars(select(DecisionRow).where(*of_job).order_by(DecisionRow.decided.desc())).first()


def _event(row: EventRow) -> EventListing:
    return EventListing.model_validate(row)


def _facts(row: JobRow, delivered: tuple[int, int]) -> Mapping[str, Any]:
    names = (
        *("id", "reason", "route", "pipeline", "pipeline_version", "study_instance_uid", "priority", "shadow"),
        *("created", "updated", "withdrawn", "rejected"),
    )
    return {
        **{name: getattr(row, name) for name in names},
        "state": JobState(row.state),
        "images": len(row.sop_instance_uids),
        "objects_delivered": delivered[0],
        "objects_to_send": delivered[1],
    }
