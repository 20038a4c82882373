"""Whose images jobs are about, and under whose name their results went out: found again after a merge or a correction.

Patients are keyed digests here (`node.study.patients`): whoever reads the database learns no patient ID.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from node.database.jobs import JobState
from node.database.queries import in_chunks
from node.database.states import OutboxState
from node.database.tables import JobPatientRow, JobRow, OutboxRow

# what an outbox line is of that a destination has, or that it will get
_OUT = (OutboxState.WAITING, OutboxState.DELIVERED, OutboxState.CONFIRMED)


@dataclass(frozen=True)
class PatientsJob:
    """A job about images of a patient."""

    job_id: str
    state: JobState
    images: tuple[str, ...]  # the patients' marks that its images have
    written: str | None  # the mark that its objects have, where that is none of the images'
    went_out: bool  # a destination has some of it, or will get it


def note_images(session: Session, job_id: str, marks: Iterable[str]) -> None:
    """Write down whom the images of a job name; a second time changes nothing."""
    for mark in sorted(set(marks)):
        _add(session, job_id, mark, written=False)


def note_written(session: Session, job_id: str, mark: str | None) -> None:
    """Write down whom the objects of a job name, where it is not whom its images name."""
    written = (JobPatientRow.job_id == job_id, JobPatientRow.written)
    session.execute(delete(JobPatientRow).where(*written))
    if mark is not None:
        _add(session, job_id, mark, written=True)


def _add(session: Session, job_id: str, mark: str, *, written: bool) -> None:
    if not (patient := _patient_of(mark)):
        return
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    row = {"job_id": job_id, "mark": mark, "written": written, "patient": patient}
    session.execute(dialect.insert(JobPatientRow).values(row).on_conflict_do_nothing())


def jobs_of(session: Session, marks: Iterable[str]) -> list[PatientsJob]:
    """The jobs about images of these patient IDs, or whose objects name one of them; not those that were withdrawn."""
    patients = {_patient_of(mark) for mark in marks} - {""}
    ids: set[str] = set()
    for chunk in in_chunks(sorted(patients)):
        ids.update(session.scalars(select(JobPatientRow.job_id).where(JobPatientRow.patient.in_(chunk))))
    found: list[PatientsJob] = []
    for chunk in in_chunks(sorted(ids)):
        found += _jobs(session, chunk)
    return found


def _jobs(session: Session, job_ids: Sequence[str]) -> list[PatientsJob]:
    images, written = defaultdict[str, list[str]](list), dict[str, str]()
    for row in session.scalars(select(JobPatientRow).where(JobPatientRow.job_id.in_(job_ids))):
        if row.written:
            written[row.job_id] = row.mark
        else:
            images[row.job_id].append(row.mark)
    out = select(OutboxRow.id).where(OutboxRow.job_id == JobRow.id, OutboxRow.state.in_(_OUT)).exists()
    jobs = session.execute(
        select(JobRow.id, JobRow.state, out)
        .where(JobRow.id.in_(job_ids), JobRow.withdrawn.is_(None))
        .order_by(JobRow.id)
    )
    return [
        PatientsJob(job_id, JobState(state), tuple(sorted(images[job_id])), written.get(job_id), went_out)
        for job_id, state, went_out in jobs
    ]


def _patient_of(mark: str) -> str:
    return mark.partition(".")[0]
