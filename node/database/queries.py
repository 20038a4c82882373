"""What the database says of jobs: for the command line, the status page and tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TypeVar

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.words import counted
from node.database.connection import Database
from node.database.jobs import JobState, revision_of
from node.database.queue_places import QueuePlace
from node.database.states import OutboxState
from node.database.tables import (
    ERASED,
    AuditRow,
    EventRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    OutboxRow,
    SeriesRow,
    WithdrawalRow,
)
from node.errors import JobNotFound

T = TypeVar("T")
IN_CLAUSE = 500  # values: SQLite's builds take 999 parameters in a statement, and others go into it too

UNDECIDED: ColumnElement[bool] = or_(  # series of which something came that no decision has seen
    SeriesRow.instances > SeriesRow.routed_instances, SeriesRow.instances > SeriesRow.study_routed_instances
)
UNDER_WAY = (JobState.QUEUED, JobState.RUNNING, JobState.SENDING)
CAPTURE = "secondary_capture"  # the kind of object that is a picture


@dataclass(frozen=True)
class JobView:
    """One job, whole: its row, its timeline, what it made and where that went."""

    row: JobRow
    events: Sequence[EventRow]  # in their order
    objects: Sequence[ObjectRow]  # images first, reports last
    outbox: Sequence[OutboxRow]  # by destination, in the order of delivery
    withdrawals: Sequence[WithdrawalRow] = ()  # by destination
    place: QueuePlace | None = None  # in the queue, where that was asked for and it is in it

    @cached_property
    def lines(self) -> Mapping[str, Sequence[OutboxRow]]:
        """The lines of the outbox by SOP Instance UID, each object's in the order in which they were queued."""
        found: dict[str, list[OutboxRow]] = {made.sop_instance_uid: [] for made in self.objects}
        for line in sorted(self.outbox, key=lambda line: line.id):
            found.setdefault(line.sop_instance_uid, []).append(line)
        return found

    @property
    def captures(self) -> Sequence[ObjectRow]:
        """The pictures that it made."""
        return [made for made in self.objects if made.kind == CAPTURE]

    @property
    def deliveries(self) -> Mapping[str, Mapping[str, int]]:
        """Number of lines by destination and state."""
        counts: dict[str, Counter[str]] = {}
        for line in (line for lines in self.lines.values() for line in lines):
            counts.setdefault(line.destination, Counter())[line.state] += 1
        return counts

    @property
    def kinds(self) -> Mapping[str, int]:
        """Number of objects by kind, without twins that went nowhere."""
        return Counter(made.kind for made in self.objects if made.twin_of is None or self.lines[made.sop_instance_uid])

    @property
    def ended(self) -> datetime | None:
        """When it ended; None while it is under way."""
        return None if self.row.state in UNDER_WAY else self.row.updated

    def at(self, what: str) -> datetime | None:
        """When the job last became, or did, `what`."""
        return next((event.at for event in reversed(self.events) if event.what == what), None)


def list_jobs(database: Database, states: Sequence[JobState] = (), limit: int = 100) -> list[JobRow]:
    """The newest jobs first, of the given states only where any are given.

    Parameters
    ----------
    database
        The node's database.
    states
        Only jobs in one of these; empty: in any.
    limit
        How many at most.
    """
    query = select(JobRow).order_by(JobRow.created.desc(), JobRow.id).limit(limit)
    if states:
        query = query.where(JobRow.state.in_(states))
    with Session(database) as session:
        return list(session.scalars(query))


def find_job(database: Database, job_id: str) -> JobRow:
    """The one job whose id is, or begins with, `job_id`.

    Raises
    ------
    JobNotFound
        If there is none, or more than one.
    """
    query = select(JobRow).where(JobRow.id.startswith(job_id, autoescape=True)).limit(2)
    with Session(database) as session:
        found = session.scalars(query).all() if job_id else []
    if not found:
        raise JobNotFound(f"no job has an id that begins with {job_id!r}; condyle jobs lists them")
    if len(found) > 1:
        raise JobNotFound(f"more than one job has an id that begins with {job_id!r}; give more of it")
    return found[0]


def show_job(database: Database, job_id: str) -> JobView:
    """All about the job whose id is, or begins with, `job_id`.

    Raises
    ------
    JobNotFound
        If there is none, or more than one.
    """
    row = find_job(database, job_id)
    with Session(database, expire_on_commit=False) as session:
        return job_views(session, [row])[0]


def job_views(session: Session, rows: Sequence[JobRow]) -> list[JobView]:
    """The views of some jobs, in their order, by four queries for all of them."""
    views: list[JobView] = []
    for chunk in in_chunks(rows):
        ids = [row.id for row in chunk]
        events = _by_job(session.scalars(select(EventRow).where(EventRow.job_id.in_(ids)).order_by(EventRow.id)))
        objects = _by_job(
            session.scalars(
                select(ObjectRow)
                .where(ObjectRow.job_id.in_(ids))
                .order_by(ObjectRow.order, ObjectRow.kind, ObjectRow.path)
            )
        )
        outbox = _by_job(
            session.scalars(
                select(OutboxRow)
                .where(OutboxRow.job_id.in_(ids))
                .order_by(OutboxRow.destination, OutboxRow.order, OutboxRow.id)
            )
        )
        taken_back = _by_job(
            session.scalars(
                select(WithdrawalRow).where(WithdrawalRow.job_id.in_(ids)).order_by(WithdrawalRow.destination)
            )
        )
        views += [
            JobView(
                row,
                events.get(row.id, []),
                objects.get(row.id, []),
                outbox.get(row.id, []),
                taken_back.get(row.id, []),
            )
            for row in chunk
        ]
    return views


def delivered_counts(database: Database, job_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
    """By job: how many lines of its outbox were delivered, and how many there are; jobs without a line are left out."""
    found: dict[str, tuple[int, int]] = {}
    with Session(database) as session:
        for chunk in in_chunks(job_ids):
            for job_id, delivered, total in session.execute(
                select(OutboxRow.job_id, func.count(OutboxRow.delivered), func.count())
                .where(OutboxRow.job_id.in_(chunk), OutboxRow.state != OutboxState.SKIPPED)
                .group_by(OutboxRow.job_id)
            ):
                found[job_id] = (delivered, total)
    return found


def count_jobs(session: Session) -> dict[str, int]:
    """How many jobs are in each state."""
    return dict(session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all())


def other_studies_of_series(
    session: Session, study_instance_uid: str, series_instance_uids: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """By series of a study: the other studies that have a series of the same UID; those of one study are left out."""
    found: dict[str, list[str]] = {}
    for chunk in in_chunks(series_instance_uids):
        for series, study in session.execute(
            select(SeriesRow.series_instance_uid, SeriesRow.study_instance_uid)
            .where(SeriesRow.series_instance_uid.in_(chunk), SeriesRow.study_instance_uid != study_instance_uid)
            .order_by(SeriesRow.first_received, SeriesRow.study_instance_uid)
        ):
            found.setdefault(series, []).append(study)
    return {series: tuple(studies) for series, studies in found.items()}


def revision_of_images(session: Session, study_instance_uid: str, sop_instance_uids: Iterable[str]) -> str:
    """Which of the images were sent again with another data set, as a digest; empty where none was.

    That the study was erased counts too: what was sent of it then is forgotten, and its UIDs must not be given to
    other bytes.
    """
    counts: dict[str, int] = {}
    for chunk in in_chunks(sop_instance_uids):
        query = select(InstanceRow.sop_instance_uid, InstanceRow.revision).where(
            InstanceRow.sop_instance_uid.in_(chunk), InstanceRow.revision > 0
        )
        counts |= {row.sop_instance_uid: row.revision for row in session.execute(query)}
    erased = select(func.count()).where(AuditRow.study_instance_uid == study_instance_uid, AuditRow.what == ERASED)
    return revision_of({**counts, study_instance_uid: session.scalar(erased) or 0})


def images_rejected(rejected: int, images: int, reason: RejectionReason) -> str:
    """What is said of a job whose images were rejected."""
    return f"{rejected} of {counted(images, 'image')} of the job rejected: {reason.meaning}"


def objects_of_jobs(session: Session, sop_instance_uids: Iterable[str], *where: ColumnElement[bool]) -> set[str]:
    """Those of the objects that were made by a job of which `where` holds."""
    found: set[str] = set()
    for chunk in in_chunks(sop_instance_uids):
        found |= set(
            session.scalars(
                select(ObjectRow.sop_instance_uid)
                .join(JobRow, JobRow.id == ObjectRow.job_id)
                .where(ObjectRow.sop_instance_uid.in_(chunk), *where)
            )
        )
    return found


def in_chunks(values: Iterable[T], size: int = IN_CLAUSE) -> Iterator[list[T]]:
    """`values` in lists that one ``IN (...)`` can hold, in their order."""
    remaining = iter(values)
    while chunk := list(islice(remaining, size)):
        yield chunk


_OfJob = TypeVar("_OfJob", EventRow, ObjectRow, OutboxRow, WithdrawalRow)


def _by_job(rows: Iterable[_OfJob]) -> dict[str, list[_OfJob]]:
    grouped: dict[str, list[_OfJob]] = {}
    for row in rows:
        grouped.setdefault(row.job_id, []).append(row)
    return grouped
