"""What merges and corrections mean for jobs that are there: told on their timelines, where an operator looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.database import audit, job_patients, job_states
from node.database.connection import Database
from node.database.job_patients import PatientsJob
from node.database.jobs import JobState
from node.database.tables import PATIENT_CHANGED, EventRow
from node.errors import NodeError
from node.patient_records.patient_changes import Changed
from node.study.current_patients import identity_of
from node.study.patients import Person, marking_key

EVENT = "patient changed"  # on the timeline
MERGED = "the patient was merged into another patient ID since"
CORRECTED = "the description of the patient was corrected since"
SENT_BEFORE = (
    "{what}: this was sent under the earlier identity. `condyle jobs send` sends it again under the one of now, "
    "`condyle withdraw` takes it back"
)
RESTART = "the patients of its images were merged or corrected since: it may be restarted"


class AfterChanges:
    """Tells of changes on the timelines of jobs, once each.

    Parameters
    ----------
    data
        The node's data folder, whose key marks patients.
    default_issuer
        Of patient IDs of images that name none.
    """

    def __init__(
        self,
        database: Database,
        data: Path,
        default_issuer: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database, self._data, self._default_issuer, self._clock = database, data, default_issuer, clock

    def tell(self, changes: Sequence[Changed], event: str, sender: str) -> None:
        """Note on each job what the changes mean for it, and in the audit trail that there were any.

        Parameters
        ----------
        changes
            As `PatientChanges.take` answered.
        event
            The message's, such as ADT^A40.
        sender
            Its address.

        Raises
        ------
        NodeError
            If the database is away.
        """
        key = marking_key(self._data)
        try:
            with Session(self._database) as session, session.begin():
                told = sum(self._tell(session, changed, key) for changed in changes)
                if told:
                    audit.note(session, PATIENT_CHANGED, sender, now=self._clock(), event=event, jobs=told)
        except SQLAlchemyError as error:
            raise NodeError(f"jobs could not be told that a patient has changed: {type(error).__name__}") from error

    def _tell(self, session: Session, changed: Changed, key: bytes) -> int:
        """How many jobs were told of it."""
        # an image may leave out the issuer that counts where none is named
        ids = {Person(*one).marked(key) for one in changed.patient_ids}
        ids |= {Person(one).marked(key) for one, issuer in changed.patient_ids if issuer == self._default_issuer}
        known = {_id_of(mark) for mark in ids}
        now = Person.of_mark(Person.of(identity_of(changed.current)).marked(key))
        if changed.current.issuer_of_patient_id == self._default_issuer:
            now = replace(now, issuer="")
        told = 0
        for job in job_patients.jobs_of(session, ids):
            marks = (*job.images, *([job.written] if job.written else []))
            if not all(_id_of(mark) in known for mark in marks):
                continue  # another hospital's patient of the same number, or one of several
            sentence = _sentence(job, now, changed.corrected)
            if sentence and not _is_told(session, job.job_id, sentence):
                job_states.note(session, job.job_id, EVENT, sentence)
                told += 1
        return told


def _id_of(mark: str) -> str:
    """The part of a mark that stands for patient ID and issuer."""
    return ".".join(mark.split(".")[:2])


def _sentence(job: PatientsJob, now: Person, corrected: bool) -> str:
    """What the job's timeline is to say; empty where nothing."""
    if job.state == JobState.UNSUITABLE and len(job.images) > 1:
        return RESTART
    if not job.went_out:
        return ""
    for mark in [job.written] if job.written else job.images:
        written = Person.of_mark(mark)
        if written.patient_id != now.patient_id:
            return SENT_BEFORE.format(what=MERGED)
        differs = (
            written.name and now.name and written.name != now.name
        )  # devices and messages may spell one differently
        if corrected and (differs or written.contradiction(now) is not None):
            return SENT_BEFORE.format(what=CORRECTED)
    return ""


def _is_told(session: Session, job_id: str, sentence: str) -> bool:
    """Whether the last word about the patient on the job's timeline was that."""
    query = (
        select(EventRow.detail).where(EventRow.job_id == job_id, EventRow.what == EVENT).order_by(EventRow.id.desc())
    )
    return session.scalar(query.limit(1)) == sentence
