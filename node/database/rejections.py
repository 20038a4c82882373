"""Rejection notes and what they reject; images that come after a note are looked up as they are recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, delete, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from node.database.queries import in_chunks, objects_of_jobs
from node.database.states import REJECTION_NOTE, RejectionNoteState, before
from node.database.tables import InstanceRow, JobRow, KeyObjectRow, ObjectRow, RejectionRow, SeriesRow, StudyRow

# The objects of these UIDs that were rejected, with the study and the patient of the note; the latest note counts.
BEFORE_RECEIPT: Select[*tuple[Any, ...]] = (
    select(RejectionRow.sop_instance_uid, KeyObjectRow.study_instance_uid, KeyObjectRow.patient, KeyObjectRow.code)
    .join(KeyObjectRow, KeyObjectRow.sop_instance_uid == RejectionRow.note_uid)
    .where(RejectionRow.sop_instance_uid.in_(bindparam("keys", expanding=True)))
    .order_by(KeyObjectRow.received)
)


# ---- notes
def waiting(session: Session, limit: int, without: Collection[str] = ()) -> list[KeyObjectRow]:
    """Key object documents that nobody has looked into, the first received first.

    Parameters
    ----------
    limit
        How many at most.
    without
        SOP Instance UIDs of those that are left alone for now.
    """
    waits = KeyObjectRow.state == literal(RejectionNoteState.WAITING.value, literal_execute=True)
    found = session.scalars(
        select(KeyObjectRow).where(waits).order_by(KeyObjectRow.received).limit(limit + len(without))
    )
    return [row for row in found if row.sop_instance_uid not in without][:limit]


def lock(session: Session, row: KeyObjectRow) -> None:
    """Keep everybody else from the note and what comes of its study, until the session's transaction ends.

    To be done first, by writing: see `node.database.job_states.locked`.
    """
    study = StudyRow.study_instance_uid == row.study_instance_uid
    session.execute(update(StudyRow).where(study).values(last_received=StudyRow.last_received))
    note = KeyObjectRow.sop_instance_uid == row.sop_instance_uid
    session.execute(update(KeyObjectRow).where(note).values(attempts=KeyObjectRow.attempts))


def count_attempt(session: Session, note_uid: str) -> int:
    """Count that a document ended what read it, or broke it; how often it has now."""
    attempts = session.scalar(
        update(KeyObjectRow)
        .where(KeyObjectRow.sop_instance_uid == note_uid)
        .values(attempts=KeyObjectRow.attempts + 1)
        .returning(KeyObjectRow.attempts)
    )
    return attempts or 0


def close(session: Session, note_uid: str, state: RejectionNoteState) -> None:
    """Bring a note into a state that it stays in, unless it is sent again with other content."""
    of = (KeyObjectRow.sop_instance_uid == note_uid, KeyObjectRow.state.in_(before(REJECTION_NOTE, state)))
    session.execute(update(KeyObjectRow).where(*of).values(state=state))


def forget(session: Session, note_uid: str) -> None:
    """A document turned out to be no rejection note, or is gone: nothing more is to be known of it."""
    session.execute(delete(RejectionRow).where(RejectionRow.note_uid == note_uid))
    session.execute(delete(KeyObjectRow).where(KeyObjectRow.sop_instance_uid == note_uid))


# ---- what they reject
def remember(session: Session, note_uid: str, reason: RejectionReason, uids: Iterable[str]) -> None:
    """Write down what a note rejects, whether or not it is here yet; what is known stays."""
    of = KeyObjectRow.sop_instance_uid == note_uid
    session.execute(update(KeyObjectRow).where(of).values(code=reason.value))
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    for chunk in in_chunks(uids, 300):
        rows = [{"note_uid": note_uid, "sop_instance_uid": uid} for uid in chunk]
        session.execute(dialect.insert(RejectionRow).values(rows).on_conflict_do_nothing())


def reject(session: Session, study_instance_uid: str, code: str, uids: Iterable[str]) -> set[str]:
    """Mark the images of a study that are here as rejected; the series of those that were not before."""
    series: set[str] = set()
    for chunk in in_chunks(uids):
        series |= set(
            session.scalars(
                update(InstanceRow)
                .where(
                    InstanceRow.sop_instance_uid.in_(chunk),
                    InstanceRow.study_instance_uid == study_instance_uid,
                    InstanceRow.rejected == "",
                )
                .values(rejected=code)
                .returning(InstanceRow.series_instance_uid)
            )
        )
    return series


def decide_again(session: Session, study_instance_uid: str, series_instance_uids: Iterable[str]) -> None:
    """Have these series of a study, and so the study, be decided about once more, as after a late image."""
    for chunk in in_chunks(sorted(series_instance_uids)):
        for seen in (SeriesRow.routed_instances, SeriesRow.study_routed_instances):
            session.execute(
                update(SeriesRow)
                .where(
                    SeriesRow.study_instance_uid == study_instance_uid,
                    SeriesRow.series_instance_uid.in_(chunk),
                    seen >= SeriesRow.instances,
                )
                .values({seen: SeriesRow.instances - 1})
            )


def images_here(session: Session, uids: Iterable[str]) -> list[tuple[str, str]]:
    """Of which study, and whose (as a mark), each of the objects is that came in; each pair once."""
    found: set[tuple[str, str]] = set()
    for chunk in in_chunks(uids):
        of = InstanceRow.sop_instance_uid.in_(chunk)
        rows = session.execute(select(InstanceRow.study_instance_uid, InstanceRow.patient).where(of).distinct())
        found |= {(study, patient) for study, patient in rows}
    return sorted(found)


def rejected_images(session: Session, study_instance_uid: str) -> set[str]:
    """The images of a study that were rejected."""
    of = (InstanceRow.study_instance_uid == study_instance_uid, InstanceRow.rejected != "")
    return set(session.scalars(select(InstanceRow.sop_instance_uid).where(*of)))


# ---- results
def results_among(session: Session, uids: Iterable[str]) -> list[ObjectRow]:
    """Those of the objects that a job here made."""
    return [
        row
        for chunk in in_chunks(uids)
        for row in session.scalars(select(ObjectRow).where(ObjectRow.sop_instance_uid.in_(chunk)))
    ]


def not_to_be_built_on(session: Session, sop_instance_uids: Sequence[str]) -> set[str]:
    """Those of the objects that nothing is built on: their result was taken back, or it or its images were rejected."""
    return objects_of_jobs(session, sop_instance_uids, or_(JobRow.withdrawn.is_not(None), JobRow.rejected != ""))
