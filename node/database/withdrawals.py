"""A job's result is taken back: nothing more of it goes out, nothing is built on it, and who has it is told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from node.database import audit, job_states, outbox, taking_back
from node.database.queries import UNDER_WAY, in_chunks, objects_of_jobs
from node.database.tables import WITHDRAWN, JobRow, ObjectRow

SHORTEST_DIGEST = 8  # characters of a digest that stand for the weights


def withdraw(session: Session, job_id: str, *, reason: RejectionReason, why: str, by: str, now: datetime) -> list[str]:
    """Take back what a job made, or would make; the destinations that are told, or looked at.

    A job that has not ended ends. To withdraw a job once more changes why, and every destination is told again.

    Parameters
    ----------
    job_id
        Of the job, all of it.
    reason
        As rejection notes give it.
    why
        In words; it goes to the destinations, and must not name the patient.
    by
        Who takes it back.
    now
        The time, timezone aware.

    Raises
    ------
    JobNotFound
    """
    job = job_states.locked(session, job_id)
    if job.state in UNDER_WAY:
        job_states.cancel(session, job_id, now)
    outbox.cancel(session, job_id, "withdrawn")  # of a job that has ended too, such as a report that it did not run
    outbox.stop_confirming(session, job_id, "delivered; withdrawn since")  # what is missing there is not sent again
    session.execute(update(JobRow).where(JobRow.id == job_id).values(withdrawn=now, withdrawn_by=by, withdrawn_why=why))
    told = taking_back.take_back(session, job_id, reason, why, now)
    job_states.note(session, job_id, "withdrawn", f"{reason.meaning}: {why}", now=now)
    detail = {"job": job_id, "reason": reason.value, "why": why, "destinations": told}
    audit.note(session, WITHDRAWN, by, study_instance_uid=job.study_instance_uid or None, now=now, **detail)
    session.flush()
    return told


def made_by(session: Session, pipeline: str, version: str | None, since: datetime | None) -> list[str]:
    """The jobs of a pipeline whose result went out, or may, and is not withdrawn; the oldest first.

    Parameters
    ----------
    pipeline
        Its name.
    version
        Of the pipeline, or how the digest of its weights begins; None: all.
    since
        When they were made, at the earliest.
    """
    where = [JobRow.pipeline == pipeline, JobRow.withdrawn.is_(None), JobRow.shadow.is_(False)]
    if version is not None:
        of_weights = [JobRow.weights.startswith(version, autoescape=True)] if len(version) >= SHORTEST_DIGEST else []
        where.append(or_(JobRow.pipeline_version == version, *of_weights))
    if since is not None:
        where.append(JobRow.created >= since)
    made = select(ObjectRow.job_id).where(ObjectRow.job_id == JobRow.id).exists()
    where.append(or_(made, JobRow.state.in_(UNDER_WAY)))
    return list(session.scalars(select(JobRow.id).where(*where).order_by(JobRow.created, JobRow.id)))


def without_version(session: Session, pipeline: str) -> int:
    """How many jobs of a pipeline have not begun, so that nobody knows the version that they will run with."""
    begun = (JobRow.pipeline == pipeline, JobRow.state.in_(UNDER_WAY), JobRow.pipeline_version == "")
    return session.scalars(select(func.count()).select_from(JobRow).where(*begun)).one()


def withdrawn_objects(session: Session, sop_instance_uids: Iterable[str]) -> set[str]:
    """Those of the objects whose job's result was taken back."""
    return objects_of_jobs(session, sop_instance_uids, JobRow.withdrawn.is_not(None))


def compared_with(session: Session, job_ids: Iterable[str]) -> list[str]:
    """The jobs whose result tells a change since a result of one of these jobs, and is not withdrawn itself."""
    reports: list[str] = []
    for chunk in in_chunks(job_ids):
        of_jobs = select(ObjectRow.sop_instance_uid).where(ObjectRow.job_id.in_(chunk), ObjectRow.kind == "report")
        reports += session.scalars(of_jobs)
    found: set[str] = set()
    for chunk in in_chunks(reports):
        prior = JobRow.prior["sop_instance_uid"].as_string()
        found |= set(session.scalars(select(JobRow.id).where(prior.in_(chunk), JobRow.withdrawn.is_(None))))
    return sorted(found)
