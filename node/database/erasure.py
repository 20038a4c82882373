"""Erase a study: every row about it goes, and one stays that says that it was erased."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from node.database import alerts, audit
from node.database.queries import UNDECIDED, UNDER_WAY
from node.database.states import ForbiddenTransition, OutboxState
from node.database.tables import (
    ERASED,
    CallbackRow,
    DecisionRow,
    EventRow,
    FetchRow,
    InstanceRow,
    JobPatientRow,
    JobRow,
    KeyObjectRow,
    ObjectRow,
    OutboxRow,
    RejectionRow,
    SeriesRow,
    StudyKeyRow,
    StudyRow,
    VerdictRow,
    WithdrawalRow,
)
from node.errors import StudyNotFound


@dataclass(frozen=True)
class Traces:
    """All that the node has of a study."""

    study_instance_uid: str
    instances: Sequence[tuple[str, datetime]]  # path, relative to the store's folder, and when it was received last
    jobs: Sequence[str]
    under_way: Sequence[str]  # of the jobs: those that have not ended
    objects: Sequence[str]  # SOP Instance UIDs
    delivered: dict[str, int]  # objects by destination: what cannot be erased from here
    arriving: bool  # something of it has not been decided about


def traces(session: Session, study_instance_uid: str) -> Traces:
    """What there is of a study.

    Raises
    ------
    StudyNotFound
        If there is nothing.
    """
    uid = study_instance_uid
    study = session.get(StudyRow, uid)
    jobs = session.execute(select(JobRow.id, JobRow.state).where(JobRow.study_instance_uid == uid)).all()
    instances = session.execute(
        select(InstanceRow.path, InstanceRow.received).where(InstanceRow.study_instance_uid == uid)
    ).all()
    decided = session.scalar(select(func.count()).where(DecisionRow.study_instance_uid == uid))
    if study is None and not jobs and not instances and not decided:
        raise StudyNotFound(f"study {uid}: nothing of it is stored")
    of_study = select(JobRow.id).where(JobRow.study_instance_uid == uid)
    took = OutboxRow.state.in_((OutboxState.DELIVERED, OutboxState.CONFIRMED))
    delivered = session.execute(
        select(OutboxRow.destination, func.count())
        .where(OutboxRow.job_id.in_(of_study), took)
        .group_by(OutboxRow.destination)
        .order_by(OutboxRow.destination)
    ).all()
    return Traces(
        uid,
        [(row.path, row.received) for row in instances],
        [job.id for job in jobs],
        [job.id for job in jobs if job.state in UNDER_WAY],
        session.scalars(select(ObjectRow.sop_instance_uid).where(ObjectRow.job_id.in_(of_study))).all(),
        dict(delivered),
        session.scalar(select(func.count()).where(SeriesRow.study_instance_uid == uid, UNDECIDED)) != 0,
    )


def locked(session: Session, study_instance_uid: str) -> Traces:
    """What there is of a study, of which nothing changes until the session's transaction ends.

    Raises
    ------
    StudyNotFound
        If there is nothing.
    ForbiddenTransition
        If one of its jobs has been begun again meanwhile.
    """
    study = StudyRow.study_instance_uid == study_instance_uid
    session.execute(update(StudyRow).where(study).values(last_received=StudyRow.last_received))  # the lock
    found = traces(session, study_instance_uid)
    if found.under_way:
        raise ForbiddenTransition(f"study {study_instance_uid}: job {found.under_way[0]} was begun again meanwhile")
    return found


def erase(session: Session, found: Traces, who: str, now: datetime) -> None:
    """Delete the rows of a study, and write down who erased it, when, and how much it was.

    Parameters
    ----------
    session
        Its transaction holds all of it.
    found
        What there is, as `locked` said in the same transaction.
    who
        The operator's account.
    now
        The time, timezone aware.
    """
    uid = found.study_instance_uid
    of_study = select(JobRow.id).where(JobRow.study_instance_uid == uid)
    session.execute(delete(OutboxRow).where(OutboxRow.job_id.in_(of_study)))  # before what they refer to
    session.execute(delete(VerdictRow).where(VerdictRow.job_id.in_(of_study)))
    session.execute(delete(WithdrawalRow).where(WithdrawalRow.job_id.in_(of_study)))
    session.execute(delete(ObjectRow).where(ObjectRow.job_id.in_(of_study)))
    session.execute(delete(EventRow).where(EventRow.job_id.in_(of_study)))
    session.execute(delete(JobPatientRow).where(JobPatientRow.job_id.in_(of_study)))
    alerts.forget_jobs(session, found.jobs)
    session.execute(delete(JobRow).where(JobRow.study_instance_uid == uid))
    session.execute(delete(DecisionRow).where(DecisionRow.study_instance_uid == uid))
    session.execute(delete(FetchRow).where(FetchRow.study_instance_uid == uid))
    session.execute(delete(CallbackRow).where(CallbackRow.study_instance_uid == uid))
    of_notes = select(KeyObjectRow.sop_instance_uid).where(KeyObjectRow.study_instance_uid == uid)
    session.execute(delete(RejectionRow).where(RejectionRow.note_uid.in_(of_notes)))
    session.execute(delete(KeyObjectRow).where(KeyObjectRow.study_instance_uid == uid))
    session.execute(delete(InstanceRow).where(InstanceRow.study_instance_uid == uid))
    session.execute(delete(SeriesRow).where(SeriesRow.study_instance_uid == uid))
    session.execute(delete(StudyKeyRow).where(StudyKeyRow.study_instance_uid == uid))
    session.execute(delete(StudyRow).where(StudyRow.study_instance_uid == uid))
    detail = {
        "instances": len(found.instances),
        "jobs": len(found.jobs),
        "objects": len(found.objects),
        "delivered": found.delivered,
    }
    audit.note(session, ERASED, who, study_instance_uid=uid, now=now, **detail)
