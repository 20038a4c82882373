"""A rejection note -> images that no job is given any more, jobs that end, and results that are marked or taken back.

What each title asks of whoever keeps images stands in IHE RAD TF-2 4.66.4.1.3, and a node that makes results follows it
so:

======  =================================  ========================================================================
113001  Rejected for Quality Reasons       nothing is made of the images any more, and results of them are marked;
                                           better ones come under UIDs of their own
113037  Rejected for Patient Safety        the same; they are given to nobody
        Reasons
113038  Incorrect Modality Worklist Entry  the same; corrected ones come under UIDs of their own
113039  Data Retention Policy Expired      nothing: the images were right, and so are the results of them
======  =================================  ========================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.read.rejection_note import RejectionNote
from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.words import counted
from node.config import RejectionNoteSettings
from node.database import job_states, rejections, taking_back, withdrawals
from node.database.queries import UNDER_WAY, images_rejected
from node.database.states import RejectionNoteState
from node.database.tables import JobRow, KeyObjectRow, ObjectRow
from node.study.patients import same_patient


@dataclass(frozen=True)
class Outcome:
    """What became of a note."""

    state: RejectionNoteState
    why: str  # for people
    stopped: Sequence[str] = field(default=())  # jobs that were under way
    marked: Sequence[str] = field(default=())  # and those whose results were made before


def objection(
    session: Session,
    row: KeyObjectRow,
    note: RejectionNote,
    sender: str,
    settings: RejectionNoteSettings,
    known_as: Sequence[str] = (),
) -> Outcome | None:
    """Why nothing is done for a note; None where it is to be obeyed.

    Parameters
    ----------
    row
        Of the note.
    note
        What it says.
    sender
        AE title of who sent it; empty: it came without one.
    settings
        Who may reject.
    known_as
        Marks of all that the note's patient was or is known as, besides that of the note.
    """
    if note.reason is RejectionReason.RETENTION:
        return Outcome(RejectionNoteState.LEFT, "kept no longer elsewhere: nothing is wrong with the images")
    if settings.senders and sender not in settings.senders:
        who = sender or "its sender"
        return Outcome(RejectionNoteState.REFUSED, f"{who} is not in receive.rejection_notes.senders")
    why = _contradiction(session, (row.patient, *known_as), note)
    return Outcome(RejectionNoteState.REFUSED, why) if why else None


def act(session: Session, note: RejectionNote, sender: str, settings: RejectionNoteSettings, now: datetime) -> Outcome:
    """Do what a note asks, in the caller's transaction; a second time it is the same, and nothing more.

    Parameters
    ----------
    note
        What it says, and nobody objects to; what it rejects is remembered already.
    sender
        AE title of who sent it; empty: it came without one.
    settings
        What is done with results.
    now
        The time, timezone aware.
    """
    made = rejections.results_among(session, note.objects)
    ours = {one.sop_instance_uid for one in made}
    images = [uid for uid in note.objects if uid not in ours]
    series = rejections.reject(session, note.study_instance_uid, note.reason, images)
    stopped = list[str]()
    marked = list[str]()
    for job, why in _jobs_on(session, note, set(images)):
        (stopped if job.state in UNDER_WAY else marked).append(job.id)
        series |= set(job.series_instance_uids)  # the decision that made it may not have known of the note
        _end_or_mark(session, job, why, note.reason, sender, settings, now)
    for job, why in _jobs_that_made(session, made, note.reason, sender):
        marked.append(job.id)
        job_states.note_rejected(session, job.id, why, now)
    rejections.decide_again(session, note.study_instance_uid, series)
    return Outcome(RejectionNoteState.OBEYED, _summary(note, len(ours)), stopped, marked)


def _contradiction(session: Session, people: Sequence[str], note: RejectionNote) -> str | None:
    """Why a note cannot be right: what it claims to be of its own study and patient is not."""
    for study, patient in rejections.images_here(session, note.objects):
        if study != note.study_instance_uid:
            return "it names images of another study as those of its own"
        if not any(same_patient(one, patient) for one in people):
            return "it names images of another patient than its own"
    made = rejections.results_among(session, note.objects)
    if any(one.study_instance_uid != note.study_instance_uid for one in made):
        return "it names results of another study as those of its own"
    return None


def _jobs_on(session: Session, note: RejectionNote, images: set[str]) -> Iterator[tuple[JobRow, str]]:
    """The jobs on any of the images, with what is said of each; those of which that was said before are left out."""
    of_study = JobRow.study_instance_uid == note.study_instance_uid
    for job in session.scalars(select(JobRow).where(of_study).order_by(JobRow.created)).all():
        if number := len(images & set(job.sop_instance_uids)):
            why = images_rejected(number, len(job.sop_instance_uids), note.reason)
            if job.rejected != why or job.state in UNDER_WAY:
                yield job, why


def _end_or_mark(
    session: Session,
    job: JobRow,
    why: str,
    reason: RejectionReason,
    sender: str,
    settings: RejectionNoteSettings,
    now: datetime,
) -> None:
    if job.state in UNDER_WAY:
        job_states.stop(session, job.id, why, now)
    job_states.note_rejected(session, job.id, why, now)
    sent = settings.action == "withdraw" and job.withdrawn is None and taking_back.may_have(session, [job.id])
    if sent:
        withdrawals.withdraw(session, job.id, reason=reason, why=why, by=sender or "a rejection note", now=now)


def _jobs_that_made(
    session: Session, made: Sequence[ObjectRow], reason: RejectionReason, sender: str
) -> Iterator[tuple[JobRow, str]]:
    """The jobs whose own objects somebody rejects, with what is said of each."""
    by_job: dict[str, list[str]] = {}
    for one in made:
        by_job.setdefault(one.job_id, []).append(one.kind.replace("_", " "))
    for job_id, kinds in by_job.items():
        job = session.get_one(JobRow, job_id)
        what = ", ".join(sorted(set(kinds)))
        why = f"its {what} was rejected by {sender or 'a reader'}: {reason.meaning}"
        if job.rejected != why:
            yield job, why


def _summary(note: RejectionNote, ours: int) -> str:
    parts = [f"{note.reason.meaning}: {counted(len(note.objects) - ours, 'image')}"]
    if ours:
        parts.append(f"{counted(ours, 'object')} of results")
    if note.elsewhere:
        parts.append(f"{note.elsewhere} of other studies left to the notes there")
    return ", ".join(parts)
