"""What the page shows of readers' verdicts: those that stand, by job, and what was left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.assessment import Answer
from node.database import verdicts
from node.database.connection import Database
from node.database.tables import VERDICT_NOT_READ, AuditRow
from node.verdicts import storing
from node.verdicts.verdict import Verdict, change_in_words, value_in_words

SHOWN = 200  # verdicts of a job
ORDER = (Answer.REJECT, Answer.MODIFY, Answer.ACCEPT)
LEFT_ALONE_SHOWN = 10


@dataclass(frozen=True)
class VerdictView:
    """A verdict in words."""

    about: str
    answer: str
    changes: tuple[str, ...]
    reason: str
    comment: str
    observer: str  # a digest
    device: str
    sender: str
    observed: datetime


@dataclass(frozen=True)
class LeftAlone:
    """Something that came in and was no verdict, or not all of it."""

    sop_instance_uid: str
    at: datetime
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class JobVerdicts:
    """What readers say of one result."""

    number: int
    shown: tuple[VerdictView, ...]  # first what was rejected, then what was modified; of too many, those


def verdicts_on(database: Database, job_ids: Sequence[str]) -> dict[str, JobVerdicts]:
    """The verdicts that stand, by job."""
    with Session(database) as session:
        found = {job: [storing.verdict(row) for row in verdicts.standing(session, job)] for job in job_ids}
    return {
        job: JobVerdicts(len(said), tuple(_view(one) for one in sorted(said, key=_weight)[:SHOWN]))
        for job, said in found.items()
    }


def verdicts_left_alone(database: Database, study_instance_uid: str) -> tuple[LeftAlone, ...]:
    """What was left alone of a study, the latest first."""
    of_study = (AuditRow.what == VERDICT_NOT_READ, AuditRow.study_instance_uid == study_instance_uid)
    query = select(AuditRow).where(*of_study).order_by(AuditRow.id.desc()).limit(LEFT_ALONE_SHOWN)
    with Session(database) as session:
        return tuple(
            LeftAlone(str(row.detail.get("sop_instance_uid")), row.at, tuple(row.detail.get("reasons", ())))
            for row in session.scalars(query)
        )


def _weight(said: Verdict) -> tuple[int, str]:
    return ORDER.index(said.answer), said.tracking_id


def _view(said: Verdict) -> VerdictView:
    return VerdictView(
        said.tracking_id or "the whole result",
        said.answer,
        tuple(change_in_words(change) for change in said.changes),
        value_in_words(said.reason),
        said.comment,
        said.observer,
        said.device,
        said.sender,
        said.observed,
    )
