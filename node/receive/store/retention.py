"""Old images are deleted once their jobs are done and delivered, if the configuration says so."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Set
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, Select, and_, delete, exists, literal, or_, select, true, tuple_, update
from sqlalchemy.orm import Session

from node.background import Loop
from node.config import Configuration
from node.database import commitments, outbox
from node.database.connection import Database
from node.database.jobs import JobState
from node.database.queries import UNDECIDED
from node.database.states import CommitmentDirection, CommitmentState
from node.database.tables import (
    KEY_OBJECTS,
    CommitmentRow,
    InstanceRow,
    Instant,
    JobRow,
    OutboxRow,
    SeriesRow,
    StudyKeyRow,
    StudyRow,
)
from node.files import rename_new
from node.progress import goes_on
from node.receive.store.instance_files import MARKS

log = logging.getLogger(__name__)

EVERY_S = 3600.0
RETRY_S = 60.0  # after the database or the disk did not answer
AT_ONCE = 100  # studies that the database is asked for at a time
CLOCKS_DIFFER = timedelta(minutes=10)  # at most, of machines that share a database
ASIDE = ".old"  # a file between being looked at for the last time and deleted
# results of this software that were sent to the node, and key object documents; as their indexes have them
BESIDE: tuple[ColumnElement[bool], ...] = (
    InstanceRow.made_by_us == true(),
    InstanceRow.sop_class_uid == literal(KEY_OBJECTS, literal_execute=True),
)
ENDED_WELL = (JobState.DONE, JobState.UNSUITABLE)  # a failed job may be restarted, and needs its images


class Retention:
    """Removes the images of studies to which nothing has come for `keep_days` and whose jobs are done and delivered.

    Parameters
    ----------
    data
        The node's data folder.
    keep_days
        None: all images stay.
    clock
        The time, with its zone.
    """

    def __init__(self, database: Database, data: Path, keep_days: int | None, clock: Callable[[], datetime]) -> None:
        self._database, self._clock = database, clock
        self._instances = data / "instances"
        self._keep_days = keep_days
        self.loop = Loop("removal of old images", self._work, every_s=EVERY_S, retry_s=RETRY_S)
        """Looks once an hour, once it is started."""

    @property
    def _keep(self) -> timedelta:
        assert self._keep_days is not None, "nothing is removed"
        return timedelta(days=self._keep_days)

    def reconfigure(self, configuration: Configuration) -> None:
        """Keep for as long as it says from the next look on."""
        self._keep_days = configuration.receive.keep_days

    def _work(self) -> None:
        if self._keep_days is not None:
            self.remove_due()

    def remove_due(self) -> int:
        """Remove what is due now; how many instances that were."""
        of_studies = list(self.removals())
        returned = sum(self._remove_beside(which, self._clock() - self._keep) for which in BESIDE)
        removed = sum(of_studies) + returned
        if removed:
            facts = {"studies": sum(number > 0 for number in of_studies), "instances": removed}
            log.info("old images removed", extra=facts)
        return removed

    def removals(self) -> Iterator[int]:
        """Remove one study that is due after the other; of each, how many instances it had, and 0 where it stayed."""
        began = self._clock()
        before = began - self._keep
        for folder in self._instances.glob("*/"):
            goes_on()
            for aside in folder.glob(f"*{ASIDE}"):  # the node was killed in between
                _end(aside, before)
        with Session(self._database) as session:
            promised = _to_be_committed(session)
        for study in self._due_studies(before):
            if self.loop.stopping.is_set():
                return
            goes_on()
            yield self._remove(study, before, promised, began - CLOCKS_DIFFER)

    def _due_studies(self, before: datetime) -> Iterator[str]:
        """All studies that are due, the oldest first, a page at a time; those that had to stay are passed over."""
        query = _due(before)
        while True:
            with Session(self._database) as session:
                page = session.execute(query.limit(AT_ONCE)).all()
            yield from (row.study_instance_uid for row in page)
            if len(page) < AT_ONCE:
                return
            place = tuple_(StudyRow.last_received, StudyRow.study_instance_uid)
            last = tuple_(literal(page[-1].last_received, Instant), page[-1].study_instance_uid)
            query = _due(before).where(place > last)

    def _remove(self, study_instance_uid: str, before: datetime, promised: Set[str], began: datetime) -> int:
        """Forget one study and delete its files, unless something of it has come meanwhile; how many it had.

        The write comes first and holds the database until the end, so that no receipt is recorded in between.

        Parameters
        ----------
        study_instance_uid
            Of the study.
        before
            It must have been quiet since then.
        promised
            SOP Instance UIDs that peers waited for the commitment to at `began`; who asked since is looked up.
        began
            When `promised` was read.
        """
        of_study = StudyRow.study_instance_uid == study_instance_uid
        # a result that came back later stays until its own time is up, without the study; so does a key object document
        returned = or_(*BESIDE) & (InstanceRow.received >= before)
        instances_of_study = and_(InstanceRow.study_instance_uid == study_instance_uid, ~returned)
        with Session(self._database) as session, session.begin():
            session.execute(update(StudyRow).where(of_study).values(last_received=StudyRow.last_received))
            if session.scalar(_due(before).where(of_study)) is None:
                return 0
            rows = session.execute(
                select(InstanceRow.sop_instance_uid, InstanceRow.path).where(instances_of_study)
            ).all()
            uids = {row.sop_instance_uid for row in rows}
            if not (uids.isdisjoint(promised) and uids.isdisjoint(_to_be_committed(session, since=began))):
                return 0
            present = [row.sop_instance_uid for row in rows if not delete_file(self._instances / row.path, before)]
            if present:  # sent again this moment: its receipt follows, and makes the study new
                log.info("an old image came again", extra={"instances": len(present)})
            session.execute(delete(StudyRow).where(of_study))
            session.execute(delete(StudyKeyRow).where(StudyKeyRow.study_instance_uid == study_instance_uid))
            session.execute(delete(SeriesRow).where(SeriesRow.study_instance_uid == study_instance_uid))
            session.execute(delete(InstanceRow).where(instances_of_study))
        return len(rows) - len(present)

    def _remove_beside(self, which: ColumnElement[bool], before: datetime) -> int:
        """Delete what is none of its study's images, where the node does not have the study; how many."""
        removed, last = 0, ""
        while not self.loop.stopping.is_set():
            goes_on()
            with Session(self._database) as session, session.begin():
                known = exists().where(StudyRow.study_instance_uid == InstanceRow.study_instance_uid)
                rows = session.execute(
                    select(InstanceRow.sop_instance_uid, InstanceRow.path)
                    .where(which, InstanceRow.received < before, ~known)
                    .where(InstanceRow.sop_instance_uid > last)
                    .order_by(InstanceRow.sop_instance_uid)
                    .limit(AT_ONCE)
                ).all()
                if not rows:
                    break
                last = rows[-1].sop_instance_uid
                waiting = _to_be_committed(session)
                gone = [
                    row.sop_instance_uid
                    for row in rows
                    if row.sop_instance_uid not in waiting and delete_file(self._instances / row.path, before)
                ]
                session.execute(delete(InstanceRow).where(InstanceRow.sop_instance_uid.in_(gone)))
            removed += len(gone)
        return removed


def delete_file(path: Path, before: datetime) -> bool:
    """Delete an instance's file and its marks if it was written before then; False where it has just been replaced."""
    aside = path.with_suffix(ASIDE)
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        if not path.parent.exists():  # the storage is away, and nothing is gone
            raise
        if not aside.exists():
            _delete_marks(path)
            return True
        # else the node was killed in between
    return _end(aside, before)


def _end(aside: Path, before: datetime) -> bool:
    """Delete a file that was put aside, or put it back where it is a new one."""
    if aside.stat().st_mtime >= before.timestamp():
        with contextlib.suppress(FileExistsError):  # a still newer one is there
            rename_new(aside, aside.with_suffix(".dcm"))
        aside.unlink(missing_ok=True)
        return False
    _delete_marks(aside.with_suffix(".dcm"))
    aside.unlink()
    return True


def _delete_marks(path: Path) -> None:
    if not path.exists():  # else the marks are a newer one's
        for mark in MARKS:
            path.with_suffix(mark).unlink(missing_ok=True)


def _due(before: datetime) -> Select[str, datetime]:
    """Studies that have been quiet since `before`, are decided about, and whose jobs are done and delivered."""
    study = StudyRow.study_instance_uid
    undecided = exists().where(SeriesRow.study_instance_uid == study, UNDECIDED)
    at_work = exists().where(JobRow.study_instance_uid == study, JobRow.state.not_in(ENDED_WELL))
    recent = exists().where(JobRow.study_instance_uid == study, JobRow.updated > before)
    under_way = exists().where(JobRow.study_instance_uid == study, OutboxRow.job_id == JobRow.id, outbox.UNSETTLED)
    return (
        select(study, StudyRow.last_received)
        .where(StudyRow.last_received < before, ~undecided, ~at_work, ~recent, ~under_way)
        .order_by(StudyRow.last_received, study)
    )


def _to_be_committed(session: Session, since: datetime | None = None) -> set[str]:
    """SOP Instance UIDs that a peer has asked the node to commit itself to, `since` then, and has not heard about."""
    query = commitments.transactions(CommitmentDirection.IN, CommitmentState.WAITING)
    if since is not None:
        query = query.where(CommitmentRow.created >= since)
    return {uid for record in session.scalars(query) for _, uid in record.references}
