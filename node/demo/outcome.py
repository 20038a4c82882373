"""What became of a sample: from the node's records what was decided and run, from the archive what came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.database.connection import Database
from node.database.jobs import JobState
from node.database.outbox import UNSETTLED
from node.database.states import OutboxState
from node.database.tables import DecisionRow, JobRow, ObjectRow, OutboxRow, SeriesRow
from node.demo.result_archive import ResultArchive, Stored, in_words
from node.demo.samples import Sample
from node.demo.scanner import File

_OF_STATE: dict[str, str] = {JobState.DONE: "ran", JobState.UNSUITABLE: "did not run"}  # in the sentence that says why
ENDED = {JobState.DONE, JobState.UNSUITABLE, JobState.FAILED}


@dataclass(frozen=True)
class Sent:
    """One study that was sent."""

    title: str
    files: tuple[File, ...]
    refused: str  # what the node refused, in words
    seconds: float
    sample: Sample | None = None  # None: the user's own

    @property
    def study_instance_uid(self) -> str:
        """Of its first file; a sample is one study."""
        return self.files[0].study_instance_uid

    @property
    def sop_instance_uids(self) -> frozenset[str]:
        """Of all its files."""
        return frozenset(file.sop_instance_uid for file in self.files)


@dataclass(frozen=True)
class JobOutcome:
    """What one job of a sent study came to."""

    route: str
    pipeline: str
    state: str
    reason: str
    after_last_image_s: float


@dataclass(frozen=True)
class SampleOutcome:
    """A sent study and everything that came of it."""

    sent: Sent
    decisions: tuple[tuple[str, bool, str], ...]  # route, matched, why
    jobs: tuple[JobOutcome, ...]
    returned: tuple[Stored, ...]
    lacking: tuple[str, ...]  # what ought to be in the archive and is not, in words

    @property
    def good(self) -> bool:
        """Whether everything that was expected came back."""
        return not self.lacking

    @property
    def why(self) -> str:
        """Why what ran did, and what did not run did not, in one line."""
        if not self.jobs:
            return f"nothing ran: {self._nearest()}"
        reasons: dict[tuple[str, str], list[str]] = {}
        for job in self.jobs:
            what, why = _OF_STATE.get(job.state, job.state), job.reason or self._matched(job.route)
            pipelines = reasons.setdefault((what, why), [])
            if job.pipeline not in pipelines:  # of several series each has a job
                pipelines.append(job.pipeline)
        return "; ".join(
            f"{' and '.join(map(spaced, pipelines))} {what}{f': {why}' if why else ''}"
            for (what, why), pipelines in reasons.items()
        )

    def _matched(self, route: str) -> str:
        return next((why for name, matched, why in self.decisions if matched and name == route), "")

    def _nearest(self) -> str:
        """What the route did not find that had the fewest clauses against it."""
        nearest = min(self.decisions, key=lambda decision: decision[2].count("; "), default=None)
        if nearest is None:
            return "no route was asked"
        return f"{spaced(nearest[0])} came nearest, but {nearest[2]}"

    @property
    def returned_in_words(self) -> str:
        """What came back, for people."""
        return in_words(self.returned)


def is_settled(database: Database, sent: Sequence[Sent]) -> bool:
    """Has everything been decided and run, and everything made been delivered, refused or given up?"""
    return progress(database, sent).settled == len(sent)


@dataclass(frozen=True)
class Progress:
    """How far the node is with what was sent."""

    settled: int  # studies
    waiting_for: str  # in a few words


def progress(database: Database, sent: Sequence[Sent]) -> Progress:
    """How far the node is, as of now; a study that was refused is settled."""
    studies = {one.study_instance_uid for one in sent if not one.refused}
    with Session(database) as session:
        series = session.scalars(select(SeriesRow).where(SeriesRow.study_instance_uid.in_(studies))).all()
        jobs = session.execute(
            select(JobRow.study_instance_uid, JobRow.pipeline, JobRow.state).where(
                JobRow.study_instance_uid.in_(studies)
            )
        ).all()
        unsent = session.scalars(
            select(JobRow.study_instance_uid)
            .join(OutboxRow, OutboxRow.job_id == JobRow.id)
            .where(JobRow.study_instance_uid.in_(studies), UNSETTLED)
        ).all()
    undecided = studies - {one.study_instance_uid for one in series} | {
        one.study_instance_uid
        for one in series
        if min(one.routed_instances, one.study_routed_instances) < one.instances
    }
    open_jobs = [(study, pipeline, state) for study, pipeline, state in jobs if state not in ENDED]
    unsettled = undecided | {study for study, _, _ in open_jobs} | set(unsent)
    settled = sum(one.study_instance_uid not in unsettled for one in sent)
    return Progress(settled, _waiting_for(len(undecided), open_jobs, len(unsent)))


def _waiting_for(undecided: int, jobs: Sequence[tuple[str, str, str]], unsent: int) -> str:
    running = dict.fromkeys(spaced(pipeline) for _, pipeline, state in jobs if state == JobState.RUNNING)
    queued = sum(state == JobState.QUEUED for _, _, state in jobs)
    parts = (
        [f"{', '.join(running)} to run"] if running else [],
        [counted(queued, "queued job")] if queued else [],
        [f"{counted(unsent, 'object')} to be sent"] if unsent else [],
        [f"the last image of {counted(undecided, 'study')}"] if undecided else [],
    )
    return ", ".join(part for some in parts for part in some) or "the last answers"


def spaced(name: str) -> str:
    """A name of the code as people write it."""
    return name.replace("_", " ")


def outcome(database: Database, archive: ResultArchive, sent: Sent) -> SampleOutcome:
    """What became of one study, as of now.

    Parameters
    ----------
    database
        The node's database.
    archive
        Where the results come back to.
    sent
        The study.
    """
    study = sent.study_instance_uid
    with Session(database, expire_on_commit=False) as session:
        series = session.scalars(select(SeriesRow).where(SeriesRow.study_instance_uid == study)).all()
        last = max((one.last_received for one in series), default=None)
        records = session.scalars(
            select(JobRow).where(JobRow.study_instance_uid == study).order_by(JobRow.created)
        ).all()
        jobs = tuple(_job(session, record, last) for record in records)
        decisions = tuple(
            (record.route, record.matched, str(record.trace.get("why", "")))
            for record in session.scalars(
                select(DecisionRow).where(DecisionRow.study_instance_uid == study).order_by(DecisionRow.id)
            )
        )
        made = set(
            session.scalars(
                select(OutboxRow.sop_instance_uid)
                .join(ObjectRow, ObjectRow.sop_instance_uid == OutboxRow.sop_instance_uid)
                .where(ObjectRow.study_instance_uid == study, OutboxRow.state != OutboxState.SKIPPED)
            )
        )
    returned = tuple(one for one in archive.stored(study) if one.sop_instance_uid not in sent.sop_instance_uids)
    lacking = tuple(_lacking(sent, jobs, made, returned))
    return SampleOutcome(sent, decisions, jobs, returned, lacking)


def _job(session: Session, record: JobRow, last: datetime | None) -> JobOutcome:
    delivered = session.scalars(select(OutboxRow.delivered).where(OutboxRow.job_id == record.id)).all()
    end = max([record.updated, *(moment for moment in delivered if moment is not None)])
    return JobOutcome(
        record.route, record.pipeline, record.state, record.reason, (end - (last or record.created)).total_seconds()
    )


def _lacking(sent: Sent, jobs: Sequence[JobOutcome], made: set[str], returned: Sequence[Stored]) -> list[str]:
    """What is wrong; nothing where all is as it should be."""
    found = []
    if sent.refused:
        found.append(f"not stored: {sent.refused}")
    if missing := made - {one.sop_instance_uid for one in returned}:
        found.append(f"{len(missing)} of {len(made)} objects are not in the archive")
    found += [f"{job.pipeline} {job.state}: {job.reason}" for job in jobs if job.state not in ENDED - {JobState.FAILED}]
    if sent.sample is None:
        return found
    if not sent.sample.expected and (jobs or returned):
        found.append("nothing should have run")
    for expected in sent.sample.expected:
        if expected.pipeline not in {job.pipeline for job in jobs}:
            found.append(f"{expected.pipeline} did not run")
    for word, wanted, count in (
        (
            "derived series",
            sum(expected.derived_series for expected in sent.sample.expected),
            len({one.series_instance_uid for one in returned if one.word == "MR series"}),
        ),
        (
            "captures",
            sum(expected.captures for expected in sent.sample.expected),
            sum(one.word == "capture" for one in returned),
        ),
        (
            "reports",
            sum(expected.reports for expected in sent.sample.expected),
            sum(one.word == "report" for one in returned),
        ),
    ):
        exact = word == "derived series"
        if count < wanted or (exact and count != wanted):
            found.append(f"{count} {word} instead of {wanted}")
    return found
