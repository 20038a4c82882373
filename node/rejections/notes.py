"""The loop that looks into key object documents after their receipt, and does what rejection notes ask."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.read.rejection_note import RejectionNote
from node.background import Loop
from node.config import Configuration, RejectionNoteSettings
from node.database import audit, rejections
from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.states import RejectionNoteState
from node.database.tables import REJECTION_NOTE, AssociationRow, InstanceRow, KeyObjectRow, WithdrawalRow
from node.errors import BeingStopped, MustWait, NodeError, ReadingFailed
from node.reading import Reader
from node.rejections.acting import Outcome, act, objection
from node.rejections.reading import note_in
from node.study.current_patients import CurrentPatients, as_current
from node.study.headers import study_header
from node.study.patients import Person, marking_key

log = logging.getLogger(__name__)

POLL_S = 0.5
PAUSE = timedelta(minutes=1)  # where a document cannot be read now
AT_ONCE = 20  # documents a round
REMEMBERED_AT_ONCE = 5_000  # objects of a note in one transaction: others write in between
ATTEMPTS = 3  # at reading one that ends what reads it


class RejectionNotes:
    """Reads what came in, and has jobs and results follow.

    Parameters
    ----------
    database
        The node's records.
    instances
        Where the stored instances lie.
    settings
        What a note may do, and whose.
    reader
        Reads the documents.
    stop_work
        Called with a job that has ended while something worked on it.
    clock
        The time, with its zone.
    patients
        Which patients were merged or corrected; None: everybody is whom the images name.
    """

    def __init__(
        self,
        database: Database,
        instances: Path,
        settings: RejectionNoteSettings,
        reader: Reader,
        stop_work: Callable[[str], object],
        clock: Callable[[], datetime],
        patients: CurrentPatients | None = None,
    ) -> None:
        self._patients = patients
        self._database, self._instances, self._settings = database, instances, settings
        self._reader, self._stop_work, self._clock = reader, stop_work, clock
        self._last: dict[str, RejectionNote] = {}  # obeyed in the round before
        self._away: dict[str, datetime] = {}  # until when documents are left alone that cannot be read now
        self.loop = Loop("rejection notes", self._work, every_s=POLL_S)
        """Looks twice a second, once it is started."""

    def reconfigure(self, configuration: Configuration) -> None:
        """Let notes do what it says from the next one on."""
        self._settings = configuration.receive.rejection_notes

    def _work(self) -> None:
        self.look()

    def look(self) -> int:
        """Deal with what has come in; how many documents those were.

        What was obeyed in the last round is obeyed once more: the receipts of its images, or the decision about them,
        may have been on their way.

        One that cannot be read now is left alone for a while, so that others get their turn.

        Raises
        ------
        BeingStopped
            If the node is.
        """
        now = self._clock()
        self._away = {uid: until for uid, until in self._away.items() if until > now}
        again, self._last = self._last, {}
        for uid, note in again.items():
            with Session(self._database) as session:
                row = session.get(KeyObjectRow, uid)
            if row is not None:
                self._obey(row, note, again=True)
        with Session(self._database) as session:
            found = rejections.waiting(session, AT_ONCE, self._away)
        for row in found:
            if self.loop.stopping.is_set():
                break
            self._look_into(row)
        return len(found)

    def _look_into(self, row: KeyObjectRow) -> None:
        uid = row.sop_instance_uid
        with Session(self._database) as session:
            path = session.scalar(select(InstanceRow.path).where(InstanceRow.sop_instance_uid == uid))
            own = session.scalar(select(WithdrawalRow.id).where(WithdrawalRow.note_uid == uid).limit(1)) is not None
        note, known_as = None, tuple[str, ...]()
        if path is not None and not own and self._settings.action != "ignore":
            try:
                note = self._reader.call(note_in, self._instances / path)
                known_as = () if note is None else self._known_as(self._instances / path)
            except BeingStopped:
                raise
            except MustWait as error:
                log.warning("rejection note waits", extra={"sop_instance_uid": uid, "reason": str(error)})
                self._away[uid] = self._clock() + PAUSE
                return
            except NodeError as error:
                self._not_read(row, error)
                return
        if note is None:
            with Session(self._database) as session, session.begin():
                rejections.forget(session, uid)
        else:
            self._obey(row, note, known_as)

    def _known_as(self, path: Path) -> tuple[str, ...]:
        """Marks of all that the patient of a note is known as, before and after a merge or a correction."""
        if self._patients is None:
            return ()
        who = self._reader.call(study_header, path, "").who
        if not who.patient_id:
            return ()
        now, key = as_current(who, self._patients), marking_key(self._instances.parent)
        return tuple(dict.fromkeys(Person.of(one).marked(key) for one in (now, *self._patients.earlier(now))))

    def _not_read(self, row: KeyObjectRow, error: NodeError) -> None:
        with Session(self._database) as session, session.begin():
            last = not isinstance(error, ReadingFailed) or (
                rejections.count_attempt(session, row.sop_instance_uid) >= ATTEMPTS
            )
            if last:
                self._close(session, row, "", Outcome(RejectionNoteState.REFUSED, f"it cannot be read: {error}"))

    def _obey(
        self, row: KeyObjectRow, note: RejectionNote, known_as: tuple[str, ...] = (), *, again: bool = False
    ) -> None:
        uid = row.sop_instance_uid
        with Session(self._database) as session:
            sender = session.scalar(
                select(AssociationRow.calling_ae_title)
                .join(InstanceRow, InstanceRow.association_id == AssociationRow.id)
                .where(InstanceRow.sop_instance_uid == uid)
            )
            # what was obeyed a moment ago is not doubted
            refused = None if again else objection(session, row, note, sender or "", self._settings, known_as)
        if refused is None and not again:
            for some in in_chunks(note.objects, REMEMBERED_AT_ONCE):
                with Session(self._database) as session, session.begin():
                    rejections.remember(session, uid, note.reason, some)
        with Session(self._database) as session, session.begin():
            rejections.lock(session, row)
            done = refused or act(session, note, sender or "", self._settings, self._clock())
            if not again or done.stopped or done.marked:
                self._close(session, row, sender or "", done)
        for job_id in done.stopped:
            self._stop_work(job_id)
        if done.state is RejectionNoteState.OBEYED and not again:
            self._last[uid] = note

    def _close(self, session: Session, row: KeyObjectRow, sender: str, done: Outcome) -> None:
        rejections.close(session, row.sop_instance_uid, done.state)
        detail = {
            "sop_instance_uid": row.sop_instance_uid,
            "outcome": f"{done.state}: {done.why}",
            "jobs": [*done.stopped, *done.marked],
        }
        study = row.study_instance_uid
        audit.note(session, REJECTION_NOTE, sender, study_instance_uid=study, now=self._clock(), **detail)
        log.info(REJECTION_NOTE, extra={"study_instance_uid": study, **detail})
