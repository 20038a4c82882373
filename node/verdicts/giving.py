"""A verdict that is given on the node's page: written as an Assessment SR, stored, and sent to whoever takes it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pydicom
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.assessment import Assessment
from dicom_sr.errors import UNREADABLE, UnsuitableInput
from dicom_sr.profile import LATER_KINDS, EncodedObject, EncodingProfile
from dicom_sr.read.headers import MANUFACTURER
from dicom_sr.read.statements import Document, document_in
from dicom_sr.write.assessment import Reader, encode_assessment
from node.config import Configuration
from node.data_folder import job_folder
from node.database import job_states, outbox, verdicts
from node.database.connection import Database
from node.database.device import of_device
from node.database.jobs import JobState
from node.database.tables import JobRow, ObjectRow
from node.errors import JobFailed, JobNotFound, NodeError
from node.files import flush
from node.run.hand_over import queue_later
from node.run.job_folder import JobFolder
from node.study.identity_in_text import without
from node.verdicts import storing
from node.verdicts.questions import Questions, questions
from node.verdicts.readings import summary_of
from node.verdicts.verdict import Verdict, VerdictKind, observer_digest, observer_key

log = logging.getLogger(__name__)

SENDER = "page"  # by which a verdict of the node's own page is known
_WITH_RESULT = (JobState.SENDING, JobState.DONE)
_NOT_NAMED = ("derived_series", *LATER_KINDS)  # objects of a result that an assessment does not refer to


class CannotBeJudged(NodeError):
    """There is no result to say anything about, or none any more."""


@dataclass(frozen=True)
class Given:
    """What became of a verdict."""

    destinations: tuple[str, ...]
    new: bool = True  # not where the reader said the very same before


class PageVerdicts:
    """What the page asks of results, and takes.

    Parameters
    ----------
    clock
        The time, with its zone; by default the system's.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._configuration, self._database = configuration, database
        self._clock = clock
        self._data = configuration.node.data.absolute()

    def can_be_judged(self, job: JobRow) -> bool:
        """Whether the page offers to judge a job's result."""
        return self._configuration.verdicts.form and job.state in _WITH_RESULT and job.withdrawn is None

    def questions(self, job_id: str) -> Questions:
        """What can be asked about the result of a job.

        Raises
        ------
        JobNotFound
        CannotBeJudged
            If it has none, or its files are no longer kept.
        """
        with Session(self._database) as session:
            job = session.get(JobRow, job_id)
            if job is None:
                raise JobNotFound(f"no job has the id {job_id}")
            self._require_result(job)
            return self._questions(job_id, self._report(session, job_id))

    def give(self, job_id: str, report_uid: str, name: str, said: Sequence[Assessment]) -> Given:
        """Write down what a reader says, and have it wait for the destinations that take it.

        Parameters
        ----------
        job_id
            Of the job.
        report_uid
            Of the report that the reader has seen.
        name
            The reader's, as typed.
        said
            What the reader says of it.

        Raises
        ------
        JobNotFound
        CannotBeJudged
            If it has no result any more, or another than the reader has seen.
        """
        now = self._clock()
        with Session(self._database, expire_on_commit=False) as session, session.begin():
            job = job_states.locked(session, job_id)  # two clicks come one after the other
            self._require_result(job)
            report = self._report(session, job_id)
            if report.sop_instance_uid != report_uid:
                raise CannotBeJudged("the result is another one than when this page was opened; look at it again")
            observer = observer_digest(name, observer_key(self._data))
            if self._said_before(session, job_id, observer, said):
                return Given((), new=False)
            written = self._written(session, job_id, report, said, Reader(name, now.astimezone()))
            flush(written.path)
            outbox.keep_objects(session, job_id, [written], self._data)
            names, told = self._queued(session, job, written)
            identity = (*self._document(report).identity, name)
            rows = [self._verdict(job, report, written, observer, one, identity, now) for one in said]
            storing.store(session, rows)
            job_states.note(session, job_id, "verdict", f"given on the page; {told}", now=now)
        log.info("verdict given", extra={"job": job_id, "sop_instance_uid": written.sop_instance_uid})
        return Given(names)

    # ---- the result
    def _require_result(self, job: JobRow) -> None:
        if job.withdrawn is not None:
            raise CannotBeJudged("the result was withdrawn")
        if job.state not in _WITH_RESULT:
            raise CannotBeJudged(f"the job is {job.state} and has no result to judge")

    def _report(self, session: Session, job_id: str) -> EncodedObject:
        """The report that says what was found, that which was sent before one that was not."""
        of_job = (ObjectRow.job_id == job_id, ObjectRow.kind == "report", ObjectRow.twin_of.is_(None))
        rows = session.scalars(select(ObjectRow).where(*of_job).order_by(ObjectRow.sop_instance_uid)).all()
        sent = {one.sop_instance_uid for one in outbox.reports_sent(session, job_id, self._data)}
        for row in sorted(rows, key=lambda row: row.sop_instance_uid not in sent):
            found = outbox.encoded_object(row, self._data)
            if found.path.is_file():
                return found
        raise CannotBeJudged("the node does not keep the report of this result any more")

    def _document(self, report: EncodedObject) -> Document:
        try:
            return document_in(report.path.read_bytes(), ())
        except (OSError, UnsuitableInput) as error:
            raise CannotBeJudged("the report of this result cannot be read") from error

    def _questions(self, job_id: str, report: EncodedObject) -> Questions:
        return questions(self._document(report), summary_of(self._configuration, job_id))

    def _folder(self, job_id: str) -> JobFolder:
        return JobFolder(job_folder(self._data, job_id), self._configuration.records.key_file)

    # ---- the verdict
    def _said_before(self, session: Session, job_id: str, observer: str, said: Sequence[Assessment]) -> bool:
        """Whether all of it stands already as this reader's word, with the same values."""
        standing = {
            row.tracking_uid: (row.answer, row.reason, row.changes)
            for row in verdicts.standing(session, job_id)
            if row.observer == observer and row.kind == VerdictKind.ASSESSMENT
        }
        return all(
            standing.get(one.tracking_uid)
            == (one.answer, storing.plain(one.reason), storing.plain_changes(one.changes))
            and not one.comment
            for one in said
        )

    def _written(
        self, session: Session, job_id: str, report: EncodedObject, said: Sequence[Assessment], reader: Reader
    ) -> EncodedObject:
        of_job = (ObjectRow.job_id == job_id, ObjectRow.sop_class_uid != "", ObjectRow.kind.not_in(_NOT_NAMED))
        rows = session.scalars(select(ObjectRow).where(*of_job, ObjectRow.twin_of.is_(None)).order_by(ObjectRow.order))
        others = [
            outbox.encoded_object(row, self._data) for row in rows if row.sop_instance_uid != report.sop_instance_uid
        ]
        node = self._configuration.node
        profile = EncodingProfile(uid_root=node.uid_root, institution=node.institution)
        try:
            return encode_assessment(
                pydicom.dcmread(report.path),
                [report, *others],
                said,
                reader,
                of_device(profile, self._configuration, self._database),
                self._folder(job_id).objects / "assessments",
            )
        except UNREADABLE as error:
            raise CannotBeJudged("the report of this result cannot be read") from error

    def _queued(self, session: Session, job: JobRow, written: EncodedObject) -> tuple[tuple[str, ...], str]:
        """Have it wait for the destinations that take it; which they are, and what the timeline says of that."""
        try:
            names = queue_later(session, self._configuration, job, self._folder(job.id), written)
        except JobFailed as error:  # what a condition asks about is gone: whether they got the result is not known
            log.warning("verdict not sent", extra={"job": job.id, "reason": str(error)})
            return (), f"not sent: {error}"
        return names, f"to {', '.join(names)}" if names else "no destination takes it"

    def _verdict(
        self,
        job: JobRow,
        report: EncodedObject,
        written: EncodedObject,
        observer: str,
        one: Assessment,
        identity: Sequence[str],
        now: datetime,
    ) -> Verdict:
        return Verdict(
            VerdictKind.ASSESSMENT,
            written.sop_instance_uid,
            job.id,
            job.study_instance_uid,
            report.sop_instance_uid,
            one.tracking_uid,
            one.tracking_id,
            one.finding,
            one.site,
            one.answer,
            one.reason,
            without(one.comment, identity) if self._configuration.verdicts.comments else "",
            one.changes,
            observer,
            MANUFACTURER,
            SENDER,
            now,
            now,
        )
