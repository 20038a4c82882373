"""Results are taken back at one destination: it is told in the way that it hears, then asked what it still has.

How it is told is the destination's `withdraw`: a rejection note (IHE RAD TF-2 4.66), a DELETE to a DICOMweb server,
FHIR resources marked as entered in error, an HL7 message that marks its results as wrong. Every way may be gone twice
without harm, so a node that was killed in between begins again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy.orm import Session

from dicom_sr.profile import EncodedObject, EncodingProfile, ObjectFile
from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.words import counted
from dicom_sr.write.rejection_note import encode_rejection_note
from node.background import growing_pause_s
from node.config import Destination
from node.database import job_states, taking_back
from node.database.connection import Database
from node.database.states import ForbiddenTransition, WithdrawalState
from node.database.tables import WithdrawalRow
from node.database.taking_back import Held
from node.files import make_folder
from node.progress import goes_on
from node.send.delivery import Answer, Delivery, Outcome

log = logging.getLogger(__name__)

AT_ONCE = 20  # rows in a turn, so that what is to be sent does not wait for long
ASK_AGAIN_S = (5.0, 30.0, 300.0)  # after it was told: an archive that deletes takes a while
FIRST_RETRY_S, LONGEST_RETRY_S = 5.0, 3600.0
WORST_FIRST = (Outcome.LATER, Outcome.UNCLEAR, Outcome.CLASS_REFUSED, Outcome.REFUSED, Outcome.DELIVERED)
FOLDER = "withdrawals"  # in the data folder; a note lies there while it is sent
GONE = "its files are no longer stored (run.keep_jobs_days), and without them the destination cannot be told"
NOT_TOLD = "the configuration says that it is told nothing (withdraw: none)"


@runtime_checkable
class Describes(Protocol):
    """A delivery whose peer can be asked about a study."""

    def study(self, study_instance_uid: str) -> Dataset | None:
        """The patient and the study as the peer has them; None where it does not say."""


@runtime_checkable
class TakesBack(Protocol):
    """A delivery whose peer can be told of each object that it is taken back."""

    def withdraw(self, item: ObjectFile, when: datetime, why: str) -> Answer:
        """Take back one object; the peer's answer."""


class Withdrawals:
    """What is taken back at one destination.

    Parameters
    ----------
    name
        Of the destination.
    destination
        Its section of the configuration.
    database
        The node's.
    clock
        Now, timezone aware.
    data
        The node's data folder.
    made_by
        Who this installation is, for rejection notes.
    """

    def __init__(
        self,
        name: str,
        destination: Destination,
        database: Database,
        clock: Callable[[], datetime],
        data: Path,
        made_by: Callable[[], EncodingProfile],
    ) -> None:
        self._name, self._destination, self._database = name, destination, database
        self._clock, self._data, self._made_by = clock, data, made_by

    def are_due(self, session: Session) -> bool:
        """Whether there is something to take back, or to ask for."""
        return taking_back.next_due(session, self._name, self._clock()) is not None

    def pursue(self, open_delivery: Callable[[], Delivery]) -> bool:
        """Tell and ask, `AT_ONCE` at a time; whether there was anything to do.

        Raises
        ------
        PeerUnavailable
        """
        done = 0
        delivery: Delivery | None = None
        try:
            while done < AT_ONCE and (row := self._next()) is not None:
                delivery = delivery or open_delivery()
                self._see_to(row, delivery)
                done += 1
                goes_on()
        finally:
            if delivery is not None:
                delivery.close()
        return done > 0

    def note_failure(self, reason: str) -> None:
        """Let what is due next wait for longer, since it could not be seen to."""
        if (row := self._next()) is not None:
            self._put_off(row, reason)

    def _next(self) -> WithdrawalRow | None:
        with Session(self._database) as session:
            return taking_back.next_due(session, self._name, self._clock())

    # ---- one row
    def _see_to(self, row: WithdrawalRow, delivery: Delivery) -> None:
        with Session(self._database) as session:
            items = taking_back.objects_there(session, row, self._data)
        try:
            if row.state == WithdrawalState.TOLD:
                self._ask_after(row, delivery, items)
            elif self._destination.withdraw == "none":
                self._leave(row, delivery, items)
            else:
                self._tell(row, delivery, items)
        except ForbiddenTransition as error:  # it is taken back anew, for another reason, and is told again
            log.info("withdrawal begins again", extra={"job": row.job_id, "reason": str(error)})

    def _leave(self, row: WithdrawalRow, delivery: Delivery, items: Sequence[EncodedObject]) -> None:
        """Only look what is there: of what was superseded not even that, as nobody has asked for it."""
        held = None if row.successor is not None else self._held(delivery, items)
        with Session(self._database) as session, session.begin():
            taking_back.move(session, row.id, WithdrawalState.LEFT, NOT_TOLD)
            if held is not None:
                taking_back.note_before(session, row.id, held)
                taking_back.note_after(session, row.id, held, self._clock())
                self._note(session, row, NOT_TOLD, held, len(items))

    def _tell(self, row: WithdrawalRow, delivery: Delivery, items: Sequence[EncodedObject]) -> None:
        held = self._held(delivery, items)
        with Session(self._database) as session, session.begin():
            taking_back.note_before(session, row.id, held)
        way = self._destination.withdraw
        note_uid, answer = "", Answer(Outcome.DELIVERED, "nothing of it was sent there")
        if way == "iocm" and items:
            note_uid, answer = self._reject(row, delivery, items)
        elif way == "oru" and self._is_replaced(row):  # the message would take back the later report too
            answer = Answer(Outcome.DELIVERED, "a later report has taken its place")
        elif items:
            answer = _each(delivery, items, row)
        if answer.outcome in (Outcome.LATER, Outcome.UNCLEAR):
            self._put_off(row, answer.text)
            return
        with Session(self._database) as session, session.begin():
            if answer.outcome is Outcome.DELIVERED:
                taking_back.move(session, row.id, WithdrawalState.TOLD, answer.text, way=way, note_uid=note_uid)
            else:
                taking_back.note_after(session, row.id, held, self._clock())
                taking_back.move(session, row.id, WithdrawalState.REFUSED, answer.text, way=way)
                self._note(session, row, f"refused: {answer.text}", held, len(items))
                return
        with Session(self._database) as session:
            told = session.get_one(WithdrawalRow, row.id)
        self._ask_after(told, delivery, items)

    def _ask_after(self, row: WithdrawalRow, delivery: Delivery, items: Sequence[EncodedObject]) -> None:
        """Ask what is there now; a few times more, as long as something is."""
        held = self._held(delivery, items)
        with Session(self._database) as session, session.begin():
            taking_back.note_after(session, row.id, held, self._clock())
            if held.number and row.attempts < len(ASK_AGAIN_S):
                pause = timedelta(seconds=ASK_AGAIN_S[row.attempts])
                taking_back.put_off(session, row.id, self._clock() + pause)
                return
            taking_back.move(session, row.id, WithdrawalState.DONE, row.answer)
            self._note(session, row, f"told ({row.way}): {row.answer}", held, len(items))

    def _held(self, delivery: Delivery, items: Sequence[EncodedObject]) -> Held:
        """What the destination says it has of them; what is no DICOM cannot be asked for without its file."""
        known = [item for item in items if item.sop_class_uid or item.path.exists()]
        if len(known) < len(items):
            return Held(None)
        found = delivery.find(known) if known else set[str]()
        return Held.of(None if found is None else found & {item.sop_instance_uid for item in known})

    def _note(self, session: Session, row: WithdrawalRow, said: str, held: Held, of: int) -> None:
        """Add to the job's timeline how it went there."""
        objects = counted(of, "object")
        proof = {None: "it does not say what it has", 0: f"asked, it has none of {objects}"}.get(
            held.number, f"asked, it still has {held.number} of {objects}"
        )
        job_states.note(session, row.job_id, "taken back", f"{self._name}: {said}; {proof}", now=self._clock())
        log.info("taken back", extra={"job": row.job_id, "destination": self._name, "held": held.number, "of": of})

    def _is_replaced(self, row: WithdrawalRow) -> bool:
        with Session(self._database) as session:
            return taking_back.is_replaced(session, row)

    def _put_off(self, row: WithdrawalRow, reason: str) -> None:
        """Try again later; what the peer said when it was told stays."""
        pause = timedelta(seconds=growing_pause_s(row.attempts + 1, FIRST_RETRY_S, LONGEST_RETRY_S))
        answer = reason if row.state == WithdrawalState.WAITING else None
        with Session(self._database) as session, session.begin():
            taking_back.put_off(session, row.id, self._clock() + pause, answer)

    # ---- ways of telling
    def _reject(self, row: WithdrawalRow, delivery: Delivery, items: Sequence[EncodedObject]) -> tuple[str, Answer]:
        """Send a rejection note, the same one each time; its SOP Instance UID and the answer."""
        like = _like(delivery, items)
        if like is None:
            return "", Answer(Outcome.REFUSED, GONE)
        folder = self._data / FOLDER
        make_folder(folder)
        reason = RejectionReason(row.code)
        note = encode_rejection_note(items, like, reason, row.why, row.created, self._made_by(), folder)
        try:
            delivery.announce([note])
            (answer,) = [answer for _, answer in delivery.send([note])]
        finally:
            note.path.unlink(missing_ok=True)
        return note.sop_instance_uid, answer


def _each(delivery: Delivery, items: Sequence[EncodedObject], row: WithdrawalRow) -> Answer:
    """Take back one after the other; the answer that counts most: what is to be tried again, then a refusal."""
    if not isinstance(delivery, TakesBack):
        return Answer(Outcome.REFUSED, "this kind of destination cannot be told")
    answers: list[Answer] = []
    for item in items:
        if not item.sop_class_uid and not item.path.exists():
            answers.append(Answer(Outcome.REFUSED, GONE))
            continue
        answers.append(delivery.withdraw(item, row.created, row.why))
        goes_on()
    worst = next(outcome for outcome in WORST_FIRST if any(one.outcome is outcome for one in answers))
    said = [one for one in answers if one.outcome is worst]
    share = "" if len(said) == len(answers) else f"{len(said)} of {len(answers)}: "
    return Answer(worst, share + said[0].text)


def _like(delivery: Delivery, items: Sequence[EncodedObject]) -> Dataset | None:
    """Whose study it is: as one of the objects says, or the peer, where their files are no longer stored."""
    for item in items:
        try:
            return dcmread(item.path, stop_before_pixels=True)
        except FileNotFoundError:
            continue
    return delivery.study(items[0].study_instance_uid) if isinstance(delivery, Describes) else None
