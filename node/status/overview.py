"""What pages show of a study, and of what went wrong, read from the node's records; and the room on the disk."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Select, Text, case, cast, func, select
from sqlalchemy.orm import Session, aliased

from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.words import counted
from node.database import outbox
from node.database.connection import Database
from node.database.jobs import JobState
from node.database.queries import (
    CAPTURE,
    UNDER_WAY,
    JobView,
    in_chunks,
    job_views,
)
from node.database.queue_places import queue_places
from node.database.tables import (
    NOT_STORED,
    AssociationRow,
    AuditRow,
    DecisionRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    SeriesRow,
    StudyRow,
)
from node.study.patients import Person, patient_numbers

KINDS_LOOKED_AT = 500  # of instances that were not stored, the latest
FAILING_S = 5.0  # that sending fails before it is named: what the next try delivers is nobody's concern
KINDS_OF_SENDER = 3  # that are shown before those of others
SERIES_SHOWN = DECISIONS_SHOWN = 200  # of a study, on its own page
JOBS_SHOWN = 100  # of a study
TRACES_CHARACTERS = 4 * 2**20  # of all decisions that a page shows; one about thousands of series has some million
TRACES_SHOWN, FEWEST_TRACES = 1000, 5  # of series: in all decisions together, and in each, where it has so many
PATIENTS_TOLD_APART = 100
PHASES = {JobState.QUEUED: "queue", JobState.RUNNING: "run", JobState.SENDING: "send"}  # of a timeline
SHARED_SERIES_SHOWN = 50  # of a study and another: pairs


@dataclass(frozen=True)
class Span:
    """One stretch of a timeline: `start_s` and `seconds` counted from the first image of the study."""

    phase: str  # receive, wait, queue, run, send
    start_s: float
    seconds: float
    pipeline: str = ""  # of the job; empty: of the study


@dataclass(frozen=True)
class NotStored:
    """Instances of one study that one sender sent within an hour, and that were not stored for one reason."""

    last: datetime
    sender: str
    study_instance_uid: str | None  # None where it could not be read
    status: str
    reason: str
    instances: int
    first: str  # SOP Instance UIDs of the first few, or where they stood in what was sent


@dataclass(frozen=True)
class GivenUp:
    """Images of one study that are not read any more, for one reason."""

    reason: str
    images: int
    first: str  # SOP Instance UID


@dataclass(frozen=True)
class StudyTotals:
    """Numbers of a study, however much of it is shown."""

    series: int = 0
    instances: int = 0
    modalities: tuple[str, ...] = ()  # each once
    decisions: int = 0
    decided: datetime | None = None  # the last one
    jobs: Mapping[str, int] = field(default_factory=dict)  # by state
    patients: int = 1  # whom its images are of; of no more than `PATIENTS_TOLD_APART`
    came_back: int = 0  # results of this software that were sent to the node and are stored
    rejected: Mapping[str, int] = field(default_factory=dict)  # images by why they were, as rejection notes say it


@dataclass(frozen=True)
class StudyView:
    """One study: what came, what was decided, what was done; of what is too much for a page, a part."""

    row: StudyRow
    totals: StudyTotals
    jobs: tuple[JobView, ...]
    other_studies: Mapping[str, tuple[str, ...]]  # by series: those that have a series of the same UID
    given_up: tuple[GivenUp, ...]
    series: tuple[SeriesRow, ...]
    decisions: tuple[DecisionRow, ...]
    patients: Mapping[str, Mapping[int, int]]
    """By series: number of images by number of the patient, from 1."""

    @property
    def uid(self) -> str:
        """Study Instance UID."""
        return self.row.study_instance_uid

    @property
    def patients_told(self) -> str:
        """How many patients its images are of, for people."""
        count = self.totals.patients
        return f"{count} or more" if count >= PATIENTS_TOLD_APART else str(count)

    def traces(self, decision: DecisionRow) -> Sequence[Mapping[str, Any]]:
        """What a decision says of single series, those that matched first; of as many as a page may show."""
        if decision.trace.get("unread"):
            return ()
        most = max(FEWEST_TRACES, TRACES_SHOWN // len(self.explained))
        return sorted(decision.trace.get("series", ()), key=lambda one: not one.get("matched"))[:most]

    def more_traces(self, decision: DecisionRow) -> int:
        """Of how many series more a decision says something."""
        return 0 if decision.trace.get("unread") else len(decision.trace.get("series", ())) - len(self.traces(decision))

    def shows(self, job_id: str) -> bool:
        """Whether the job is among those that are shown."""
        return any(job.row.id == job_id for job in self.jobs)

    @property
    def captures(self) -> tuple[ObjectRow, ...]:
        """The pictures that its jobs made."""
        return tuple(capture for job in self.jobs for capture in job.captures)

    @property
    def state(self) -> str:
        """One word for the whole study."""
        states = self.totals.jobs
        if self.row.trouble:
            return "undecided"
        for state in (JobState.FAILED, *UNDER_WAY, JobState.UNSUITABLE, JobState.DONE):
            if state in states:
                return state.value
        return "no route" if self.totals.decisions or self.row.completed else "receiving"

    @property
    def explained(self) -> tuple[tuple[DecisionRow, ...], ...]:
        """Its decisions; together those that say the same, as images cannot be read."""
        groups: dict[object, list[DecisionRow]] = {}
        for decision in self.decisions:
            groups.setdefault(decision.trace["why"] if decision.trace.get("unread") else decision.id, []).append(
                decision
            )
        return tuple(map(tuple, groups.values()))

    @property
    def spans(self) -> tuple[Span, ...]:
        """Its way through the node, jobs of the same study one after the other as they ran."""
        zero = self.row.first_received
        last = self.row.last_received
        spans = [("receive", zero, last, "")]
        if not self.jobs and self.totals.decided is not None:
            spans.append(("wait", last, self.totals.decided, ""))
        for job in self.jobs:
            spans.append(("wait", last, job.row.created, job.row.pipeline))
            stretches = [(PHASES[state], start, end) for state, start, end in _stretches(job) if state in PHASES]
            spans += [(*stretch, job.row.pipeline) for stretch in stretches]
        return tuple(
            Span(phase, (start - zero).total_seconds(), (end - start).total_seconds(), pipeline)
            for phase, start, end, pipeline in spans
            if end >= start
        )

    @property
    def total_s(self) -> float:
        """Length of the timeline."""
        return max((span.start_s + span.seconds for span in self.spans), default=0.0)

    @property
    def after_last_image_s(self) -> float | None:
        """From the last image to the end of the last job; None while one is under way, or where there is none."""
        ends = [self.after_last_image_of_s(job) for job in self.jobs]
        return max((end for end in ends if end is not None), default=None) if None not in ends else None

    def after_last_image_of_s(self, job: JobView) -> float | None:
        """From the last image to the end of a job; None while it is under way, or where images came after it."""
        after = (job.ended - self.row.last_received).total_seconds() if job.ended else -1.0
        return after if after >= 0 else None


@dataclass(frozen=True)
class Disk:
    """Room on the file system of the node's data."""

    free: int  # bytes
    total: int
    floor: int  # below it new instances are refused

    @property
    def low(self) -> bool:
        """Whether new instances are refused."""
        return self.free < self.floor

    @classmethod
    def of(cls, data: Path, floor_mb: int) -> Disk:
        """The disk that `data`, which need not exist yet, will be on."""
        there = next(folder for folder in (data.absolute(), *data.absolute().parents) if folder.exists())
        usage = shutil.disk_usage(there)
        return cls(usage.free, usage.total, floor_mb * 2**20)


class Overview:
    """Reads the node's records; changes nothing."""

    def __init__(self, database: Database, workers: int = 1) -> None:
        self._database, self._workers = database, workers

    def _session(self) -> Session:
        return Session(self._database, expire_on_commit=False)

    def job(self, job_id: str) -> JobView | None:
        """One job."""
        with self._session() as session:
            row = session.get(JobRow, job_id)
            return next(iter(with_places(session, job_views(session, [row]), self._workers)), None) if row else None

    def is_with_its_study(self, job: JobRow) -> bool:
        """Whether the page of its study shows the job."""
        with self._session() as session:
            return any(row.id == job.id for row in session.scalars(_jobs(job.study_instance_uid)))

    def not_stored(self, limit: int, study_instance_uid: str | None = None) -> tuple[list[NotStored], int]:
        """What was not stored, the latest first, and how many instances that leaves out; of one study or of all.

        Where there are too many kinds, the first few of each sender come before any more of one.
        """
        of_kind = [AuditRow.what == NOT_STORED]
        if study_instance_uid is not None:
            of_kind.append(AuditRow.study_instance_uid == study_instance_uid)
        association, status, reason = (
            AuditRow.detail[name].as_string() for name in ("association", "status", "reason")
        )
        # earlier versions wrote a row for each instance
        kind = (AuditRow.counted_as, AuditRow.who, association, AuditRow.study_instance_uid, status, reason)
        until, first = (func.max(AuditRow.detail[name].as_string()) for name in ("until", "first"))
        latest = func.max(AuditRow.id).desc()
        query = select(*kind[1:], func.sum(AuditRow.times), func.max(AuditRow.at), until, first)
        with self._session() as session:
            rows = session.execute(query.where(*of_kind).group_by(*kind).order_by(latest).limit(KINDS_LOOKED_AT)).all()
            everything = session.scalar(select(func.sum(AuditRow.times)).where(*of_kind)) or 0
            senders = _senders(session, {association for who, association, *_ in rows if not who})
        found = [
            NotStored(
                datetime.fromisoformat(until) if until else at,
                who or senders.get(association, ""),
                study,
                status,
                reason,
                times,
                first or "",
            )
            for who, association, study, status, reason, times, at, until, first in rows
        ]
        shown = _of_each_sender(sorted(found, key=lambda one: one.last, reverse=True), limit)
        return shown, everything - sum(one.instances for one in shown)

    def study(self, uid: str) -> StudyView | None:
        """One study with its series and decisions; None where the node has none of that UID."""
        with self._session() as session:
            row = session.get(StudyRow, uid)
            if row is None:
                return None
            series = _series(session, uid)
            totals = _totals(session, [uid])[uid]
            return StudyView(
                row,
                totals,
                with_places(session, _job_views(session, uid), self._workers) if totals.jobs else (),
                _other_studies(session, uid),
                tuple(_given_up(session, [uid]).get(uid, ())),
                series,
                _decisions(session, uid),
                _patients(session, uid, series),
            )

    def capture(self, sop_instance_uid: str) -> str | None:
        """The path of a picture that a job made, as the job noted it."""
        with self._session() as session:
            return session.scalar(
                select(ObjectRow.path)
                .where(ObjectRow.sop_instance_uid == sop_instance_uid)
                .where(ObjectRow.kind == CAPTURE)
            )

    def failing(self, now: datetime) -> str | None:
        """Which destinations do not take what they are sent, and since when; None where all do."""
        with self._session() as session:
            found = outbox.failing(session, now - timedelta(seconds=FAILING_S))
        return "; ".join(map(_not_taken, found)) or None


def _not_taken(destination: outbox.Failing) -> str:
    how = "does not take everything" if destination.takes_some else "is down, nothing has arrived there"
    waiting = counted(destination.waiting, "object")
    since = f"{destination.since:%Y-%m-%d %H:%M:%S} UTC"
    return f"{destination.destination} {how} since {since}; tried again, {waiting} to be sent"


def with_places(session: Session, jobs: Sequence[JobView], workers: int) -> tuple[JobView, ...]:
    """The jobs, those in the queue with their places."""
    if not any(job.row.state == JobState.QUEUED for job in jobs):
        return tuple(jobs)
    places = queue_places(session, workers, datetime.now(UTC))
    return tuple(replace(job, place=places.get(job.row.id)) for job in jobs)


def _of_each_sender(found: Sequence[NotStored], limit: int) -> list[NotStored]:
    """As many as `limit`, in their order: the first few of each sender, then what else there is room for."""
    seen: Counter[str] = Counter()
    places = []
    for place, one in enumerate(found):
        seen[one.sender] += 1
        places.append((seen[one.sender] > KINDS_OF_SENDER, place))
    return [found[place] for place in sorted(place for _, place in sorted(places)[:limit])]


def _totals(session: Session, studies: Sequence[str]) -> dict[str, StudyTotals]:
    """The numbers of some studies, counted by the database."""
    found = dict.fromkeys(studies, StudyTotals())
    uid = SeriesRow.study_instance_uid
    for study, modality, series, instances in session.execute(
        select(uid, SeriesRow.modality, func.count(), func.sum(SeriesRow.instances))
        .where(uid.in_(studies))
        .group_by(uid, SeriesRow.modality)
        .order_by(func.min(SeriesRow.first_received), SeriesRow.modality)
    ):
        old = found[study]
        found[study] = replace(
            old,
            series=old.series + series,
            instances=old.instances + instances,
            modalities=(*old.modalities, modality or "?"),
        )
    for study, count, decided in session.execute(
        select(DecisionRow.study_instance_uid, func.count(), func.max(DecisionRow.decided))
        .where(DecisionRow.study_instance_uid.in_(studies))
        .group_by(DecisionRow.study_instance_uid)
    ):
        found[study] = replace(found[study], decisions=count, decided=decided)
    for study, state, count in session.execute(
        select(JobRow.study_instance_uid, JobRow.state, func.count())
        .where(JobRow.study_instance_uid.in_(studies))
        .group_by(JobRow.study_instance_uid, JobRow.state)
    ):
        found[study] = replace(found[study], jobs={**found[study].jobs, state: count})
    for study, count in session.execute(
        select(InstanceRow.study_instance_uid, func.count())
        .where(InstanceRow.study_instance_uid.in_(studies), InstanceRow.made_by_us)
        .group_by(InstanceRow.study_instance_uid)
    ):
        found[study] = replace(found[study], came_back=count)
    for study, code, count in session.execute(
        select(InstanceRow.study_instance_uid, InstanceRow.rejected, func.count())
        .where(InstanceRow.study_instance_uid.in_(studies), InstanceRow.rejected != "")
        .group_by(InstanceRow.study_instance_uid, InstanceRow.rejected)
        .order_by(InstanceRow.rejected)
    ):
        meaning = RejectionReason(code).meaning
        found[study] = replace(found[study], rejected={**found[study].rejected, meaning: count})
    return {
        study: replace(totals, patients=len(set(_numbers(session, study).values())) or 1)
        for study, totals in found.items()
    }


def _jobs(study: str) -> Select[JobRow]:
    """Jobs of a study; where they are too many, those that are under way, those that failed, and the last."""
    first = case((JobRow.state.in_(UNDER_WAY), 0), (JobRow.state == JobState.FAILED, 1), else_=2)
    query = select(JobRow).where(JobRow.study_instance_uid == study)
    return query.order_by(first, JobRow.created.desc(), JobRow.id.desc()).limit(JOBS_SHOWN)


def _job_views(session: Session, study: str) -> tuple[JobView, ...]:
    rows = session.scalars(_jobs(study)).all()
    return tuple(job_views(session, sorted(rows, key=lambda row: (row.created, row.id))))


def _series(session: Session, study: str) -> tuple[SeriesRow, ...]:
    """The series of a study as they came; where they are too many, those first that a route took."""
    taken = select(DecisionRow.series_instance_uid).where(DecisionRow.study_instance_uid == study, DecisionRow.matched)
    in_order = (SeriesRow.first_received, SeriesRow.series_instance_uid)
    rows = session.scalars(
        select(SeriesRow)
        .where(SeriesRow.study_instance_uid == study)
        .order_by(case((SeriesRow.series_instance_uid.in_(taken), 0), else_=1), *in_order)
        .limit(SERIES_SHOWN)
    ).all()
    return tuple(sorted(rows, key=lambda row: (row.first_received, row.series_instance_uid)))


def _decisions(session: Session, study: str) -> tuple[DecisionRow, ...]:
    """Decisions about a study in their order; of too many those about all of it, those that matched, and the last."""
    rows = session.execute(
        select(DecisionRow.id, func.length(cast(DecisionRow.trace, Text)))
        .where(DecisionRow.study_instance_uid == study)
        .order_by(
            case((DecisionRow.level == "study", 0), else_=1),
            case((DecisionRow.matched, 0), else_=1),
            DecisionRow.id.desc(),
        )
        .limit(DECISIONS_SHOWN)
    ).all()
    sizes = itertools.accumulate(characters for _, characters in rows)
    ids = [identifier for (identifier, _), size in zip(rows, sizes, strict=True) if size <= TRACES_CHARACTERS]
    shown = ids or [identifier for identifier, _ in rows[:1]]
    return tuple(session.scalars(select(DecisionRow).where(DecisionRow.id.in_(shown)).order_by(DecisionRow.id)))


def _other_studies(session: Session, study: str) -> dict[str, tuple[str, ...]]:
    """By series of a study: the other studies that have a series of the same UID; those of one study are left out."""
    other = aliased(SeriesRow)
    pairs = session.execute(
        select(SeriesRow.series_instance_uid, other.study_instance_uid)
        .join(other, other.series_instance_uid == SeriesRow.series_instance_uid)
        .where(SeriesRow.study_instance_uid == study, other.study_instance_uid != study)
        .order_by(other.first_received, other.study_instance_uid)
        .limit(SHARED_SERIES_SHOWN)
    )
    found: dict[str, list[str]] = {}
    for series, its in pairs:
        found.setdefault(series, []).append(its)
    return {series: tuple(studies) for series, studies in found.items()}


def _numbers(session: Session, study: str) -> dict[str, int]:
    """By mark of a patient: the number, counted in the order in which they came."""
    marks = session.scalars(
        select(InstanceRow.patient)
        .where(InstanceRow.study_instance_uid == study, InstanceRow.patient != "", ~InstanceRow.made_by_us)
        .group_by(InstanceRow.patient)
        .order_by(func.min(InstanceRow.received), InstanceRow.patient)
        .limit(PATIENTS_TOLD_APART)
    ).all()
    return dict(zip(marks, patient_numbers(map(Person.of_mark, marks)), strict=True))


def _patients(session: Session, study: str, series: Sequence[SeriesRow]) -> dict[str, dict[int, int]]:
    """By series, of those that are shown: number of images by number of the patient."""
    numbers = _numbers(session, study)
    found: dict[str, dict[int, int]] = {}
    for uid, mark, count in session.execute(
        select(InstanceRow.series_instance_uid, InstanceRow.patient, func.count())
        .where(
            InstanceRow.study_instance_uid == study,
            InstanceRow.series_instance_uid.in_([one.series_instance_uid for one in series]),
            InstanceRow.patient.in_(numbers),
            ~InstanceRow.made_by_us,
        )
        .group_by(InstanceRow.series_instance_uid, InstanceRow.patient)
        .order_by(func.min(InstanceRow.received), InstanceRow.patient)
    ):
        counts = found.setdefault(uid, {})
        counts[numbers[mark]] = counts.get(numbers[mark], 0) + count
    return found


def _given_up(session: Session, studies: Sequence[str]) -> dict[str, list[GivenUp]]:
    """By study: images that are not read any more."""
    found: dict[str, list[GivenUp]] = {}
    first = func.min(InstanceRow.sop_instance_uid)
    for study, reason, images, sop_instance_uid in session.execute(
        select(InstanceRow.study_instance_uid, InstanceRow.given_up, func.count(), first)
        .where(InstanceRow.study_instance_uid.in_(studies), InstanceRow.given_up != "")
        .group_by(InstanceRow.study_instance_uid, InstanceRow.given_up)
        .order_by(first)
    ):
        found.setdefault(study, []).append(GivenUp(reason, images, sop_instance_uid))
    return found


def _stretches(job: JobView) -> Iterator[tuple[JobState, datetime, datetime]]:
    """In which state a job was, from when and until when; a job may have to wait for a worker more than once."""
    states = set(JobState)
    changes = [(JobState(event.what), event.at) for event in job.events if event.what in states]
    ended = job.ended or max((event.at for event in job.events), default=job.row.created)
    whole = [(JobState.QUEUED, job.row.created), *changes[1:], (JobState.DONE, ended)]
    for (state, start), (_, end) in itertools.pairwise(whole):
        yield state, start, end


def _senders(session: Session, associations: Iterable[str]) -> dict[str, str]:
    """By association: who it was, as far as it said."""
    found: dict[str, str] = {}
    for chunk in in_chunks(associations):
        for row in session.scalars(select(AssociationRow).where(AssociationRow.id.in_(chunk))):
            found[row.id] = " ".join(part for part in (row.way, row.calling_ae_title, row.peer_address) if part)
    return found
