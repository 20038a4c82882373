"""Old images are deleted once their jobs are done and delivered, if the configuration says so."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Select, delete, exists, select, update
from sqlalchemy.orm import Session

from node.background import Loop
from node.database import commitments, outbox
from node.database.connection import Database
from node.database.jobs import JobState
from node.database.states import CommitmentDirection, CommitmentState
from node.database.tables import CommitmentRow, InstanceRow, JobRow, OutboxRow, SeriesRow, StudyRow

log = logging.getLogger(__name__)

EVERY_S = 3600.0
RETRY_S = 60.0  # after the database or the disk did not answer
AT_ONCE = 100  # studies in a round
ASIDE = ".old"  # a file between being looked at for the last time and deleted
ENDED_WELL = (JobState.DONE, JobState.UNSUITABLE)  # a failed job may be restarted, and needs its images


class Retention:
    """Removes the images of studies to which nothing has come for `keep_days` and whose jobs are done and delivered.

    Parameters
    ----------
    data
        The node's data folder.
    clock
        The time, with its zone.
    """

    def __init__(self, database: Database, data: Path, keep_days: int, clock: Callable[[], datetime]) -> None:
        self._database, self._clock = database, clock
        self._instances, self._keep = data / "instances", timedelta(days=keep_days)
        self._loop = Loop("removal of old images", self._work, every_s=EVERY_S, retry_s=RETRY_S)

    def start(self) -> None:
        """Begin to look, once an hour."""
        self._loop.start()

    def stop(self) -> None:
        """End after the round under way."""
        self._loop.stop()

    def problem(self) -> str | None:
        """Why nothing is removed at the moment, or None."""
        return self._loop.problem()

    def _work(self) -> None:
        self.remove_due()

    def remove_due(self) -> int:
        """Remove what is due now; how many instances that were."""
        before = self._clock() - self._keep
        for aside in self._instances.glob(f"*/*{ASIDE}"):  # the node was killed in between
            _end(aside, before)
        with Session(self._database) as session:
            studies: Sequence[str] = session.scalars(_due(before)).all()
        removed = sum(self._remove(study, before) for study in studies) + self._remove_returned(before)
        if removed:
            log.info("old images removed", extra={"studies": len(studies), "instances": removed})
        return removed

    def _remove(self, study_instance_uid: str, before: datetime) -> int:
        """Forget one study and delete its files, unless something of it has come meanwhile.

        The write comes first and holds the database until the end, so that no receipt is recorded in between.
        """
        of_study = StudyRow.study_instance_uid == study_instance_uid
        instances_of_study = InstanceRow.study_instance_uid == study_instance_uid
        with Session(self._database) as session, session.begin():
            session.execute(update(StudyRow).where(of_study).values(last_received=StudyRow.last_received))
            if session.scalar(_due(before).where(of_study)) is None:
                return 0
            rows = session.execute(
                select(InstanceRow.sop_instance_uid, InstanceRow.path).where(instances_of_study)
            ).all()
            if _to_be_committed(session) & {row.sop_instance_uid for row in rows}:
                return 0
            present = [row.sop_instance_uid for row in rows if not delete_file(self._instances / row.path, before)]
            if present:  # sent again this moment: its receipt follows, and makes the study new
                log.info("an old image came again", extra={"instances": len(present)})
            session.execute(delete(StudyRow).where(of_study))
            session.execute(delete(SeriesRow).where(SeriesRow.study_instance_uid == study_instance_uid))
            session.execute(delete(InstanceRow).where(instances_of_study))
        return len(rows) - len(present)

    def _remove_returned(self, before: datetime) -> int:
        """Delete results of this software that were sent to the node and whose study it does not have."""
        with Session(self._database) as session, session.begin():
            known = exists().where(StudyRow.study_instance_uid == InstanceRow.study_instance_uid)
            rows = session.execute(
                select(InstanceRow.sop_instance_uid, InstanceRow.path)
                .where(InstanceRow.made_by_us, InstanceRow.received < before, ~known)
                .order_by(InstanceRow.received)
                .limit(AT_ONCE)
            ).all()
            waiting = _to_be_committed(session) if rows else set()
            gone = [
                row.sop_instance_uid
                for row in rows
                if row.sop_instance_uid not in waiting and delete_file(self._instances / row.path, before)
            ]
            session.execute(delete(InstanceRow).where(InstanceRow.sop_instance_uid.in_(gone)))
        return len(gone)


def delete_file(path: Path, before: datetime) -> bool:
    """Delete an instance's file if it was written before then; False where it has just been replaced."""
    aside = path.with_suffix(ASIDE)
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return True
    return _end(aside, before)


def _end(aside: Path, before: datetime) -> bool:
    """Delete a file that was put aside, or put it back where it is a new one."""
    try:
        if aside.stat().st_mtime < before.timestamp():
            return True
        with contextlib.suppress(FileExistsError):  # a still newer one is there
            os.link(aside, aside.with_suffix(".dcm"))
        return False
    finally:
        aside.unlink(missing_ok=True)


def _due(before: datetime) -> Select[Any]:
    """Studies that have been quiet since `before`, are decided about, and whose jobs are done and delivered."""
    study = StudyRow.study_instance_uid
    undecided = exists().where(
        SeriesRow.study_instance_uid == study,
        (SeriesRow.instances > SeriesRow.routed_instances) | (SeriesRow.instances > SeriesRow.study_routed_instances),
    )
    at_work = exists().where(JobRow.study_instance_uid == study, JobRow.state.not_in(ENDED_WELL))
    recent = exists().where(JobRow.study_instance_uid == study, JobRow.updated > before)
    under_way = exists().where(JobRow.study_instance_uid == study, OutboxRow.job_id == JobRow.id, outbox.UNSETTLED)
    return (
        select(study)
        .where(StudyRow.last_received < before, ~undecided, ~at_work, ~recent, ~under_way)
        .order_by(StudyRow.last_received)
        .limit(AT_ONCE)
    )


def _to_be_committed(session: Session) -> set[str]:
    """SOP Instance UIDs that a peer has asked the node to commit itself to and has not heard about."""
    open_: Sequence[CommitmentRow] = session.scalars(
        commitments.transactions(CommitmentDirection.IN, CommitmentState.WAITING)
    ).all()
    return {uid for record in open_ for _, uid in record.references}
