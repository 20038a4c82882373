"""What became of a sample: from the node's records what was decided and run, from the archive what came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.jobs import JobState
from node.database.outbox import UNSETTLED
from node.database.states import OutboxState
from node.database.tables import DecisionRow, JobRow, ObjectRow, OutboxRow, SeriesRow
from node.demo.result_archive import ResultArchive, Stored, in_words
from node.demo.samples import Sample
from node.demo.scanner import File

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
    def returned_in_words(self) -> str:
        """What came back, for people."""
        return in_words(self.returned)


def is_settled(database: Database, sent: Sequence[Sent]) -> bool:
    """Has everything been decided and run, and everything made been delivered, refused or given up?"""
    studies = [one.study_instance_uid for one in sent if not one.refused]
    with Session(database) as session:
        series = session.scalars(select(SeriesRow).where(SeriesRow.study_instance_uid.in_(studies))).all()
        if {one.study_instance_uid for one in series} != set(studies):
            return False
        if any(min(one.routed_instances, one.study_routed_instances) < one.instances for one in series):
            return False
        states = session.scalars(select(JobRow.state).where(JobRow.study_instance_uid.in_(studies))).all()
        if not set(states) <= ENDED:
            return False
        return session.scalars(select(OutboxRow.id).where(UNSETTLED).limit(1)).first() is None


def progress(database: Database) -> str:
    """What the node is doing, in a few words."""
    with Session(database) as session:
        states = session.scalars(select(JobRow.state)).all()
        waiting = session.scalars(select(OutboxRow.id).where(UNSETTLED)).all()
    running = [f"{states.count(state)} {state}" for state in JobState if state in states]
    return (
        ", ".join([*running, *([f"{len(waiting)} objects to send"] if waiting else [])])
        or "waiting for the series' end"
    )


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
    return JobOutcome(record.pipeline, record.state, record.reason, (end - (last or record.created)).total_seconds())


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
