"""Risks that a route asked for, given back to the FHIR server that the records come from, as RiskAssessment.

What is still to be given is what the timelines of the jobs say, so that nothing is forgotten by a crash. The server is
asked to create each one only if it has none of that job yet, so that nothing stands there twice either.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

from sqlalchemy import Engine as Database
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database import job_states
from node.database.jobs import JobState
from node.database.tables import EventRow, JobRow
from node.errors import ConfigurationError, NodeError, PeerUnavailable
from node.patient_records.answer import JOBS, PIPELINE, risk_assessment
from node.patient_records.fhir_client import Client
from node.run.job_folder import Damaged, JobFolder
from node.send.outbox import back_off_s
from node.study.headers import identity_in, study_header

log = logging.getLogger(__name__)

GIVEN = "posted back"  # on the timeline; whatever its detail, the job is not tried again
POLL_S = 1.0


class NotKept(NodeError):
    """What the job found is no longer there."""


class PostBack(threading.Thread):
    """Gives the results of jobs to the FHIR server, until stopped.

    Parameters
    ----------
    first_retry_s
        Pause after the server could not be reached; it doubles with every further time.
    """

    def __init__(self, configuration: Configuration, database: Database, first_retry_s: float = 2.0) -> None:
        super().__init__(name="post back", daemon=True)
        self._configuration, self._database = configuration, database
        self._first_retry_s = first_retry_s
        self._stopping = threading.Event()

    @property
    def wanted(self) -> bool:
        """Whether the configuration asks for it."""
        fhir = self._configuration.records.fhir
        return fhir is not None and fhir.post_back

    def run(self) -> None:
        failures = 0
        pause = POLL_S
        while not self._stopping.wait(pause):
            try:
                self.once()
                failures, pause = 0, POLL_S
            except PeerUnavailable as error:
                failures += 1
                pause = back_off_s(failures, self._first_retry_s)
                log.warning("risk not posted back yet", extra={"reason": str(error), "retry_s": pause})
            except SQLAlchemyError as error:
                log.error("posting back waits for the database", extra={"error": type(error).__name__})

    def stop(self) -> None:
        self._stopping.set()
        if self.is_alive():
            self.join()

    def once(self) -> int:
        """Give everything that is due; how many there were.

        Raises
        ------
        PeerUnavailable
            If the server is away; what was not given is due still.
        """
        due = self._due()
        for job in due:
            if self._stopping.is_set():
                break
            try:
                self._give(job)
                told = "given to the FHIR server"
            except PeerUnavailable:
                raise
            except ConfigurationError as error:  # a token file that cannot be read now
                raise PeerUnavailable(str(error)) from None
            except NodeError as error:
                told = f"not given: {error}"
                log.warning("risk not posted back", extra={"job": job.id, "reason": str(error)})
            with Session(self._database) as session, session.begin():
                job_states.note(session, job.id, GIVEN, told, now=datetime.now(UTC))
        return len(due)

    def _due(self) -> list[JobRow]:
        told = select(EventRow.id).where(EventRow.job_id == JobRow.id, EventRow.what == GIVEN).exists()
        with Session(self._database, expire_on_commit=False) as session:
            found = select(JobRow).where(
                JobRow.pipeline == PIPELINE,
                JobRow.state.in_((JobState.SENDING, JobState.DONE)),
                JobRow.shadow.is_(False),
                ~told,
            )
            return list(session.scalars(found.order_by(JobRow.created)))

    def _give(self, job: JobRow) -> None:
        settings = self._configuration.records.fhir
        assert settings is not None
        folder = JobFolder(self._configuration.node.data.absolute() / "jobs" / job.id)
        try:
            note, context, study = folder.finished_result(), folder.read_context(), folder.read_study()
            if note is None or context is None or not study.instances:
                raise NotKept("the job's folder is gone")
            result = folder.read_result(str(note["sha256"]))
        except Damaged as error:
            raise NotKept(str(error)) from error
        try:
            header = study_header(study.instances[0].path)
        except NodeError as error:
            raise NotKept("the study is no longer stored") from error
        who = identity_in(header, self._configuration.records.default_issuer)
        resource = risk_assessment(
            result, who, context.index_date, settings.identifier_system, job.id, job.study_instance_uid
        )
        with Client(settings) as client:
            client.give(resource, unless=f"identifier={JOBS}|{job.id}")
