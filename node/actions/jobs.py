"""What operators do with one job: restart, cancel, send to more destinations, take back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.words import counted, did_you_mean
from node.actions.preview import Preview, listed
from node.actions.withdrawing import Chosen, what_is_where
from node.config import Configuration
from node.database import audit, job_states
from node.database.connection import Database
from node.database.jobs import BY_HAND, JobState
from node.database.queries import find_job
from node.database.states import ForbiddenTransition, OutboxState
from node.database.tables import JOB_CANCELLED, JOB_RESTARTED, JOB_SENT, JobRow, OutboxRow
from node.route.by_hand import UnknownName

if TYPE_CHECKING:
    from node.run.job_engine import JobEngine

NOT_MADE = (JobState.QUEUED, JobState.RUNNING)


class JobActions:
    """The actions; each takes the id of a job, or its first characters, and who does it.

    Parameters
    ----------
    configuration
        Its destinations.
    database
        The node's.
    engine
        Of this process; it need not run jobs.
    """

    def __init__(self, configuration: Configuration, database: Database, engine: JobEngine) -> None:
        self._configuration, self._database, self._engine = configuration, database, engine

    # ---- restart
    def preview_restart(self, job_id: str) -> Preview:
        """What `restart` would do.

        Raises
        ------
        JobNotFound
        """
        job = self._find(job_id)
        step = f"step {job.step}" if job.step else "the first step that is not finished"
        sentences = [
            f"{_described(job)} is queued again and begins at {step}; finished steps are not repeated.",
            self._where_it_goes(job),
        ]
        refusal = self._why_not(partial(job_states.restart, job_id=job.id, detail=""))
        return _preview(f"Restart job {job.id[:12]}?", sentences, refusal)

    def restart(self, job_id: str, by: str) -> str:
        """Run a failed or unsuitable job again from the step that failed; its whole id.

        Raises
        ------
        JobNotFound
        ForbiddenTransition
            If it is neither failed nor unsuitable, was withdrawn, or its images were rejected.
        """
        job = self._find(job_id)
        self._engine.restart(job.id, audit=_line(JOB_RESTARTED, by, job))
        return job.id

    # ---- cancel
    def preview_cancel(self, job_id: str) -> Preview:
        """What `cancel` would do.

        Raises
        ------
        JobNotFound
        """
        job = self._find(job_id)
        with Session(self._database) as session:
            states = dict(
                session.execute(
                    select(OutboxRow.state, func.count()).where(OutboxRow.job_id == job.id).group_by(OutboxRow.state)
                ).all()
            )
        sent = sum(states.get(state, 0) for state in (OutboxState.DELIVERED, OutboxState.CONFIRMED))
        waiting = states.get(OutboxState.WAITING, 0)
        sentences = [f"{_described(job)} stops at once and counts as failed; it can be restarted."]
        if waiting:
            sentences.append(
                "1 object that waits to be sent is not sent."
                if waiting == 1
                else f"{waiting} objects that wait to be sent are not sent."
            )
        if sent:
            them = "it is" if sent == 1 else "they are"
            sentences.append(
                f"{counted(sent, 'object')} went out already: {them} not taken back. To withdraw does that."
            )
        refusal = self._why_not(partial(job_states.cancel, job_id=job.id))
        return _preview(f"Cancel job {job.id[:12]}?", sentences, refusal)

    def cancel(self, job_id: str, by: str) -> str:
        """End a job that is not done; its whole id.

        Raises
        ------
        JobNotFound
        ForbiddenTransition
            If it has ended already.
        """
        job = self._find(job_id)
        self._engine.cancel(job.id, audit=_line(JOB_CANCELLED, by, job))
        return job.id

    # ---- send
    def destinations(self, job_id: str) -> list[str]:
        """Where its result could be sent too.

        Raises
        ------
        JobNotFound
        """
        there = [] if (job := self._find(job_id)).shadow else job.destinations
        return [name for name in self._configuration.destinations if name not in there]

    def preview_send(self, job_id: str, destinations: Sequence[str]) -> Preview:
        """What `send` would do.

        Raises
        ------
        JobNotFound
        UnknownName
            If one of the destinations is none.
        """
        self.require_destinations(destinations)
        job = self._find(job_id)
        there = listed(destinations) if destinations else "the destinations that are chosen"
        if job.state in (JobState.SENDING, JobState.DONE):
            what = f"What {_named(job)} made goes to {there} too, encoded as they want it; the pipeline is not run."
        else:
            what = f"{_described(job)} is run again from the step that failed, and goes to {there} too."
        with Session(self._database) as session:
            made = session.scalar(
                select(func.count(OutboxRow.sop_instance_uid.distinct())).where(OutboxRow.job_id == job.id)
            )
        sentences = [what]
        if made:
            sentences.append(f"It has made {counted(made, 'object')}.")
        if job.shadow:
            sentences.append("It was run in shadow: it goes to these only.")
        refusal = self._why_not(lambda session: _require_sendable(session, job.id))
        return _preview(f"Send job {job.id[:12]} to more destinations?", sentences, refusal)

    def send(self, job_id: str, destinations: Sequence[str], by: str) -> str:
        """Send what a job made to these destinations too; its whole id.

        Raises
        ------
        JobNotFound
        UnknownName
            If one of the destinations is none.
        ForbiddenTransition, JobFailed
            As `JobEngine.send_to`.
        """
        self.require_destinations(destinations)
        job = self._find(job_id)
        self._engine.send_to(job.id, destinations, audit=_line(JOB_SENT, by, job, destinations=list(destinations)))
        return job.id

    def require_destinations(self, names: Sequence[str]) -> None:
        """Raise `UnknownName` if one of the names is no destination."""
        known = self._configuration.destinations
        for name in names:
            if name not in known:
                there = ", ".join(known) or "none"
                raise UnknownName(
                    f"destinations: {name!r}: no such destination; there are: {there}{did_you_mean(name, known)}"
                )

    # ---- withdraw
    def preview_withdraw(self, jobs: Sequence[str], chosen: Chosen) -> Preview:
        """What `withdraw` would do with the jobs that were chosen so."""
        return what_is_where(self._configuration, self._database, jobs, chosen)

    def withdraw(self, jobs: Sequence[str], reason: RejectionReason, why: str, by: str) -> None:
        """Take back what jobs made, everywhere it went. The audit trail has a line for each.

        Parameters
        ----------
        jobs
            Their whole ids, as `Chosen.find` gives them.
        reason
            As rejection notes give it.
        why
            In words, without the patient's name.
        by
            Who takes it back.

        Raises
        ------
        JobNotFound
        """
        for job in jobs:
            self._engine.withdraw(job, reason, why, by)

    def study(self, job_id: str) -> str:
        """The Study Instance UID of a job; empty where it is about a record.

        Raises
        ------
        JobNotFound
        """
        return self._find(job_id).study_instance_uid

    # ---- of them all
    def _find(self, job_id: str) -> JobRow:
        return find_job(self._database, job_id)

    def _where_it_goes(self, job: JobRow) -> str:
        if job.shadow:
            return "It runs in shadow: nothing is sent."
        return f"Its result goes to {listed(job.destinations)}."

    def _why_not(self, change: Callable[[Session], object]) -> str:
        """Why a change is forbidden, found by trying it and taking it back; empty where it is not."""
        with Session(self._database) as session:
            try:
                change(session)
            except ForbiddenTransition as error:
                return str(error)
            finally:
                session.rollback()
        return ""


def _preview(title: str, sentences: Sequence[str], refusal: str) -> Preview:
    """What will happen, or why nothing does."""
    return Preview(title, () if refusal else tuple(sentences), refusal)


def _line(what: str, by: str, job: JobRow, **more: Any) -> Callable[[Session], object]:
    """Adds the line of the audit trail to a transaction."""
    study = job.study_instance_uid or None
    return lambda session: audit.note(session, what, by, study_instance_uid=study, job=job.id, **more)


def _described(job: JobRow) -> str:
    """A job at the beginning of a sentence."""
    return f"J{_named(job)[1:]}"


def _named(job: JobRow) -> str:
    """A job within a sentence."""
    whence = job.route if job.route == BY_HAND else f"route {job.route}"
    images = f", {counted(len(job.sop_instance_uids), 'image')}" if job.sop_instance_uids else ""
    return f"job {job.id[:12]} ({job.pipeline}, {whence}{images}, {job.state})"


def _require_sendable(session: Session, job_id: str) -> None:
    job = job_states.locked(session, job_id)
    job_states.require_standing(job)
    if job.state in NOT_MADE:
        raise ForbiddenTransition(f"job {job_id} is {job.state}; wait until it has made its objects")
