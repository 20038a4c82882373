"""Requests for a risk from the record alone: each is a job, and its RiskAssessment is the answer.

Which pipeline answers follows from what the pipelines declare (`pipelines.base.answers_from_record`). The same question
about the same record is the same job, so an answer that is there is given again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Subject
from node.config import Configuration
from node.data_folder import resolved
from node.database.connection import Database
from node.database.jobs import ON_REQUEST, REQUEST_PRIORITY, Job, JobState, request_id
from node.database.states import ForbiddenTransition
from node.database.tables import JobRow, ObjectRow
from node.errors import JobNotFound
from node.models.versions import Versions, constructed, placed
from node.patient_records.look_up import RecordLookUp
from node.patient_records.store import PatientRecords, digest
from node.route.dispatch import model_digest
from node.run.job_engine import JobEngine
from node.study.sealing import unseal
from pipelines import registry
from pipelines.base import answers_from_record
from pipelines.records.record import Identity, Record

log = logging.getLogger(__name__)

A_DAY = timedelta(days=1)
FIRST_DAY = date(1900, 1, 1)  # for which a risk can be asked
LOOK_S = 0.05  # how often is looked whether an answer is there
LONGEST_NAME = 60  # of a pipeline that was asked for, where it is told back
LONGEST_CHAIN = 1000  # of jobs that gave the same answer, each after the one before was no longer kept


class AnswerState(StrEnum):
    """How far a request has come."""

    UNDER_WAY = auto()
    ANSWERED = auto()
    UNSUITABLE = auto()  # the record cannot be used, for `Answer.reason`
    FAILED = auto()  # the job failed, for `Answer.reason`
    WITHDRAWN = auto()  # the answer was taken back, for `Answer.reason`
    NOT_KEPT = auto()  # it was answered, longer ago than jobs are kept


@dataclass(frozen=True)
class Answer:
    """What has come of a request."""

    job_id: str
    state: AnswerState
    reason: str = ""  # why there is no answer
    resource: dict[str, Any] | None = field(default=None, repr=False)  # the RiskAssessment


class RecordRequests:
    """Takes requests as jobs, and finds their answers.

    Parameters
    ----------
    configuration
        Settings of the pipelines, and where answers go besides.
    database
        The node's.
    records
        The node's records: they name the patients' keys.
    look_up
        Finds a patient's record.
    engine
        Takes the jobs.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        records: PatientRecords,
        look_up: RecordLookUp,
        engine: JobEngine,
    ) -> None:
        self._configuration, self._database = configuration, database
        self._versions = Versions(database, configuration.node.data)
        self._records, self._look_up, self._engine = records, look_up, engine

    def submit(self, patient_id: str, issuer: str | None, index_date: date, pipeline: str = "") -> str:
        """Take a request; the id of its job, which is the one of before where the same was asked before.

        Parameters
        ----------
        patient_id
            As the record has it.
        issuer
            Of the patient ID; None: the one that counts where none is named.
        index_date
            The day for which the risk is asked; up to it the record is read.
        pipeline
            Which one is to answer; empty: the one that can.

        Raises
        ------
        UnsuitableInput
            If there is no record, the day lies ahead, or no pipeline answers.
        PeerUnavailable
            If the FHIR server that has the record is away.
        """
        if problem := day_problem(index_date):
            raise UnsuitableInput(f"index_date: {problem}")
        record = self._look_up.for_request(patient_id, issuer)
        job = self._job(record, index_date, answering_pipeline(self._configuration, pipeline))
        known = self._row(job.id)
        if known is None:
            self._engine.submit(job, _subject(record.identity), record.context(index_date))
        elif known.state == JobState.FAILED and known.withdrawn is None and not self._resources(job.id):
            # its folder may have been deleted since
            self._engine.keep_record(job.id, _subject(record.identity), record.context(index_date))
            with suppress(ForbiddenTransition):  # somebody else asked again, and it has ended since
                self._engine.restart(job.id, "asked for again")
        return job.id

    def answer(self, job_id: str) -> Answer:
        """What has come of a request.

        Raises
        ------
        JobNotFound
            If no request has that job.
        """
        row = self._row(job_id)
        if row is None:
            raise JobNotFound(f"no request has the job {job_id}")
        if row.withdrawn is not None:
            return Answer(job_id, AnswerState.WITHDRAWN, f"the answer was withdrawn: {row.withdrawn_why}")
        if row.state in (JobState.QUEUED, JobState.RUNNING):
            return Answer(job_id, AnswerState.UNDER_WAY)
        if row.state == JobState.UNSUITABLE:
            return Answer(job_id, AnswerState.UNSUITABLE, row.reason)
        for resource in self._resources(job_id):
            return Answer(job_id, AnswerState.ANSWERED, resource=resource)
        if row.state == JobState.FAILED:
            return Answer(job_id, AnswerState.FAILED, row.reason)
        return Answer(job_id, AnswerState.NOT_KEPT, "the answer is no longer kept; ask again")

    def wait(self, job_id: str, seconds: float) -> Answer:
        """What has come of a request, once that is known or `seconds` are over.

        Raises
        ------
        JobNotFound
            If no request has that job.
        """
        deadline = time.monotonic() + seconds
        while (found := self.answer(job_id)).state is AnswerState.UNDER_WAY and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        return found

    # ---- the job
    def _job(self, record: Record, index_date: date, name: str) -> Job:
        settings = self._settings(name)
        pipeline = constructed(name, placed(settings, self._configuration.node.data.absolute()))
        identity = record.identity
        question = (
            name,
            pipeline.version,
            model_digest(pipeline),
            self._records.key(identity.patient_id, identity.issuer),
            index_date,
            digest(record),
        )
        job = request_id(*question)
        for _ in range(LONGEST_CHAIN):
            if self._row(job) is None or self.answer(job).state is not AnswerState.NOT_KEPT:
                break
            job = request_id(*question, revision=job)
        return Job(
            id=job,
            route=ON_REQUEST,
            pipeline=name,
            study_instance_uid="",
            series_instance_uids=(),
            sop_instance_uids=(),
            settings=settings,
            destinations=self._configuration.records.answer_destinations,
            created=datetime.now(UTC),
            priority=REQUEST_PRIORITY,
        )

    def _settings(self, pipeline: str) -> dict[str, Any]:
        """Those of the first route to the pipeline, so that a request and a study are answered alike; else defaults."""
        routes = (item for item in self._configuration.routes.items() if item[1].pipeline == pipeline)
        return next((self._versions.settings(name, route) for name, route in routes), {})

    def _row(self, job_id: str) -> JobRow | None:
        with Session(self._database, expire_on_commit=False) as session:
            return session.scalar(select(JobRow).where(JobRow.id == job_id, JobRow.route == ON_REQUEST))

    def _resources(self, job_id: str) -> list[dict[str, Any]]:
        """The job's RiskAssessments that are still kept, the one with the node's own system of patient IDs first."""
        fhir = self._configuration.records.fhir
        system = fhir.identifier_system if fhir else ""
        return sorted(self._stored(job_id), key=lambda one: one["subject"]["identifier"].get("system", "") != system)

    def _stored(self, job_id: str) -> Iterator[dict[str, Any]]:
        with Session(self._database) as session:
            query = select(ObjectRow.path).where(ObjectRow.job_id == job_id, ObjectRow.kind == "risk_assessment")
            paths = session.scalars(query.order_by(ObjectRow.sop_instance_uid)).all()
        for path in paths:
            try:
                content = resolved(path, self._configuration.node.data.absolute()).read_bytes()
            except FileNotFoundError:
                continue
            yield json.loads(unseal(content, self._configuration.records.key_file))


def day_problem(day: date) -> str:
    """Why no risk can be asked for from that day on, and what would be right; empty if it can."""
    if day > date.today() + A_DAY:  # it may be tomorrow elsewhere
        return f"'{day}': lies ahead; should be today or an earlier day"
    if day < FIRST_DAY:
        return f"'{day}': is before every record; should be {FIRST_DAY} or a later day"
    return ""


def answering_pipeline(configuration: Configuration, asked: str = "") -> str:
    """The name of the pipeline that answers requests from the record.

    Where several are installed, the one counts that a route leads to.

    Raises
    ------
    UnsuitableInput
        If none does, the one that was asked does not, or there are several and none was asked.
    """
    found = [name for name in registry.names() if answers_from_record(registry.pipeline_type(name))]
    if asked:
        if asked not in found:
            raise UnsuitableInput(
                f"pipeline: {asked[:LONGEST_NAME]!r}: none of this name answers from the record; should be one of: "
                f"{', '.join(found) or 'none is installed'}"
            )
        return asked
    if len(found) > 1:
        routed = {route.pipeline for route in configuration.routes.values()}
        found = [name for name in found if name in routed] or found
    if not found:
        raise UnsuitableInput("no installed pipeline answers from the record")
    if len(found) > 1:
        raise UnsuitableInput(
            f"pipeline: is missing, and several answer from the record; should be one of: {', '.join(found)}"
        )
    return found[0]


def _subject(identity: Identity) -> Subject:
    return Subject(
        patient_id=identity.patient_id,
        patient_name=f"{identity.family_name}^{identity.given_name}",
        patient_birth_date=identity.birthday.strftime("%Y%m%d") if identity.birthday else "",
        patient_sex=identity.sex,
        issuer_of_patient_id=identity.issuer,
    )
