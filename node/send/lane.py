"""A lane: everything that goes to one destination, sent until the peer has taken it, then, if asked for, confirmed.

It takes back, too, what is no longer to be there.

Nothing here knows jobs but by their rows: what is to be sent is what the outbox says, also after a crash.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dicom_sr.profile import EncodingProfile
from node.background import growing_pause_s
from node.config import (
    Destination,
    DicomWebDestination,
    DimseDestination,
    EmailDestination,
    FhirDestination,
    Hl7Destination,
    WebhookDestination,
)
from node.database import job_states, outbox
from node.database.after_commit import after_commit
from node.database.connection import Database
from node.database.outbox import OutboxLine
from node.database.states import ForbiddenTransition, OutboxState
from node.database.tables import OutboxRow
from node.errors import PeerUnavailable
from node.files import digest_of
from node.metrics import DELIVERED_BYTES, DELIVERIES, DELIVERY_RETRIES
from node.network.associations import Associations
from node.progress import goes_on
from node.send.commitment_requests import CommitmentRequests
from node.send.delivery import MANDATORY, Answer, Delivery, Outcome
from node.send.dicomweb_delivery import DicomWebDelivery
from node.send.dimse_delivery import DimseDelivery
from node.send.email_delivery import EmailDelivery
from node.send.fhir_delivery import FhirDelivery
from node.send.folder_delivery import FolderDelivery
from node.send.hl7_delivery import Hl7Delivery
from node.send.webhook_delivery import WebhookDelivery
from node.send.withdrawals import Withdrawals

log = logging.getLogger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 2.0, 300.0
MAXIMUM_UNCLEAR = 8  # times that an object is sent to a peer that does not say what became of it: about 4 minutes
WRITE_EVERY_S = 0.2  # answers are written down at least so often

Clock = Callable[[], datetime]


def back_off_s(attempts: int, first_s: float = FIRST_RETRY_S) -> float:
    """How long to wait after the given number of failures in a row."""
    return growing_pause_s(attempts, first_s, LONGEST_RETRY_S)


def open_delivery(
    name: str,
    destination: Destination,
    ae_title: str,
    key_file: Path | None = None,
    associations: Associations | None = None,
) -> Delivery:
    """A way to the destination, nothing connected yet.

    Parameters
    ----------
    name
        Of the destination; messages begin with it.
    destination
        Its section of the configuration.
    ae_title
        Ours, where the destination does not say another.
    key_file
        Opens objects that are sealed.
    associations
        Those of all deliveries.
    """
    if isinstance(destination, DimseDestination):
        return DimseDelivery(name, destination, ae_title, associations)
    if isinstance(destination, DicomWebDestination):
        return DicomWebDelivery(name, destination)
    if isinstance(destination, FhirDestination):
        return FhirDelivery(name, destination, key_file)
    if isinstance(destination, Hl7Destination):
        return Hl7Delivery(name, destination, key_file)
    if isinstance(destination, EmailDestination):
        return EmailDelivery(name, destination, key_file)
    if isinstance(destination, WebhookDestination):
        return WebhookDelivery(name, destination, key_file)
    return FolderDelivery(name, destination)


class Lane:
    """Everything that goes to one destination.

    Parameters
    ----------
    name
        Of the destination.
    destination
        Its section of the configuration.
    ae_title
        Ours, where the destination does not say another.
    database
        The node's database.
    clock
        Now, timezone aware; times in the outbox are held against it.
    first_retry_s
        Pause after the first failure; it doubles with every further one.
    stop
        Once set, no further object is sent.
    data
        The node's data folder, where the objects lie.
    key_file
        Opens objects that are sealed.
    associations
        Those of all deliveries.
    made_by
        Who this installation is, for what the lane itself writes: rejection notes.
    paused
        Why nothing is sent there for now; None where it is. Nothing is taken back meanwhile either; what was sent
        before is still confirmed.
    """

    def __init__(
        self,
        name: str,
        destination: Destination,
        ae_title: str,
        database: Database,
        clock: Clock,
        first_retry_s: float = FIRST_RETRY_S,
        stop: threading.Event | None = None,
        *,
        data: Path,
        key_file: Path | None = None,
        associations: Associations | None = None,
        made_by: Callable[[], EncodingProfile] = EncodingProfile,
        paused: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._paused, self._was_paused = paused, False
        self._associations = associations or Associations()
        self._stop = stop or threading.Event()
        self._name, self._destination, self._database, self._clock = name, destination, database, clock
        self._ae_title, self._first_retry_s = ae_title, first_retry_s
        self._failures, self._not_before = 0, datetime.min.replace(tzinfo=UTC)
        self._confirm_failures, self._confirm_not_before = 0, self._not_before
        self._take_back_failures, self._take_back_not_before = 0, self._not_before
        self._bugs: set[str] = set()  # what failed in a way that nobody thought of, and is in the log
        self._data, self._key_file = data, key_file
        self._commitments = CommitmentRequests(name, database, clock, data)
        self._withdrawals = Withdrawals(name, destination, database, clock, data, made_by)
        self._number = destination.associations if isinstance(destination, DimseDestination) else 1

    def is_due(self, session: Session, *, confirmations: bool) -> bool:
        """Whether `turn` has something to do.

        Parameters
        ----------
        confirmations
            Whether to look for what is to be confirmed, or taken back, too.
        """
        now, paused = self._clock(), self._paused() is not None
        if paused != self._was_paused:
            self._was_paused = paused
            self._forget_failures()
        if now < self._not_before:
            return False
        if not paused and outbox.next_job(session, self._name, now) is not None:
            return True
        if not confirmations:
            return False
        if not paused and now >= self._take_back_not_before and self._withdrawals.are_due(session):
            return True
        may_ask = self._destination.confirms and now >= self._confirm_not_before
        return may_ask and self._commitments.are_due(session)

    def turn(self) -> bool:
        """Send what is due of one job, see to confirmations and withdrawals; whether there was anything to do.

        While the peer cannot be reached, nothing is tried before the back-off is over.
        """
        if self._clock() < self._not_before:
            return False
        paused = self._paused() is not None
        with Session(self._database) as session:
            job_id = None if paused else outbox.next_job(session, self._name, self._clock())
        try:
            if job_id is not None:
                self._try_job(job_id)
            confirmed = self._try_to_confirm()
            taken_back = not paused and self._try_to_take_back()
        except PeerUnavailable as error:
            if self._stop.is_set():  # which ends what a peer is slow about
                return False
            self._failures += 1
            wait = timedelta(seconds=back_off_s(self._failures, self._first_retry_s))
            self._not_before = self._clock() + wait
            if job_id is not None:
                self._put_off(job_id, str(error), self._not_before)
            log.warning(
                "destination cannot be reached",
                extra={"destination": self._name, "reason": str(error), "retry_s": wait.total_seconds()},
            )
            return False
        self._failures = 0
        return job_id is not None or confirmed or taken_back

    def _forget_failures(self) -> None:
        """Try at once again: whoever pauses or resumes a destination knows more of it than the failures before."""
        self._failures, self._not_before = 0, datetime.min.replace(tzinfo=UTC)
        self._take_back_failures, self._take_back_not_before = 0, self._not_before

    def _open(self) -> Delivery:
        return open_delivery(self._name, self._destination, self._ae_title, self._key_file, self._associations)

    # ---- sending
    def _try_job(self, job_id: str) -> None:
        """Send the job's lines; a failure that nobody thought of costs this job a pause that grows, and no other.

        Raises
        ------
        PeerUnavailable
        """
        try:
            self._send_job(job_id)
        except (PeerUnavailable, SQLAlchemyError):
            raise
        except Exception as error:  # noqa: BLE001 (a bug, or an answer like none before; `_bug` logs it)
            reason = self._bug("sending failed", error)
            with Session(self._database) as session:
                tries = outbox.attempts(session, head) if (head := self._head(session, job_id)) is not None else 1
            pause = timedelta(seconds=back_off_s(max(tries, 1), self._first_retry_s))
            self._put_off(job_id, reason, self._clock() + pause)

    def _bug(self, what: str, error: Exception) -> str:
        """Log a failure that nobody thought of, once; what it is, for the page."""
        kind = f"{what}: {type(error).__name__}"
        if kind not in self._bugs:
            self._bugs.add(kind)
            log.exception(what, extra={"destination": self._name})
        return f"{self._name}: {kind} in the node, see its log"

    def _send_job(self, job_id: str) -> None:
        """Send the job's waiting lines, one order after the other; stop where something has to wait.

        Raises
        ------
        PeerUnavailable
        """
        with Session(self._database) as session:
            lines = outbox.waiting_lines(session, self._name, job_id, self._data)
        deliveries = [self._open() for _ in range(self._number)]
        for delivery in deliveries:
            delivery.announce(lines)
        try:
            for _, group in itertools.groupby(lines, key=lambda line: line.order):
                if not self._send_group(deliveries, list(group)):
                    break
        finally:
            for delivery in deliveries:
                delivery.close()
            self._sum_up(job_id, [line.line for line in lines])

    def _send_group(self, deliveries: Sequence[Delivery], lines: Sequence[OutboxLine]) -> bool:
        """Send objects of one order over all associations; whether all of them have got their answer."""
        lines = self._fit_to_send(lines)
        number = min(len(deliveries), len(lines))
        if number <= 1:
            return self._send_lines(deliveries[0], lines)
        with ThreadPoolExecutor(number) as threads:
            shares = [
                # in a copy of the context, where they say that the sending goes on
                threads.submit(copy_context().run, self._send_lines, delivery, lines[first::number])
                for first, delivery in enumerate(deliveries[:number])
            ]
        answered = [share.result() for share in shares]
        return all(answered)

    def _send_lines(self, delivery: Delivery, lines: Sequence[OutboxLine]) -> bool:
        """Send objects one after the other; whether all of them have got their answer.

        Answers are written down a few together, as each time costs the disk a flush. One that a crash takes away costs
        a repetition with the same bytes.
        """
        answered, written = True, time.monotonic()
        pending: list[tuple[OutboxLine, Answer]] = []
        try:
            for line, answer in delivery.send(lines) if lines else ():
                goes_on()
                pending.append((line, answer))
                answered &= answer.outcome not in (Outcome.LATER, Outcome.UNCLEAR)
                if time.monotonic() - written > WRITE_EVERY_S:
                    self._write_answers(pending)
                    pending, written = [], time.monotonic()
                if self._stop.is_set() or self._paused() is not None:
                    return False
        finally:
            self._write_answers(pending)
        return answered

    def _fit_to_send(self, lines: Sequence[OutboxLine]) -> Sequence[OutboxLine]:
        """Those whose file is what was encoded and, if it was ever sent, what was sent; the rest is refused.

        Those that were cancelled meanwhile are left out.
        """
        fit = []
        with Session(self._database) as session:
            sent = outbox.digests_sent(session, (line.sop_instance_uid for line in lines))
        reasons = {line.line: _unfit(line, sent.get(line.sop_instance_uid, set())) for line in lines}
        with Session(self._database) as session, session.begin():
            for line in lines:
                if reason := reasons[line.line]:
                    log.error("object refused", extra={"sop_instance_uid": line.sop_instance_uid, "reason": reason})
                    self._move(session, line, OutboxState.REFUSED, f"not sent: {reason}")
                elif outbox.begin_attempt(session, line):
                    fit.append(line)
        return fit

    # ---- answers
    def _write_answers(self, answers: Sequence[tuple[OutboxLine, Answer]]) -> None:
        """Write down the answers to some objects."""
        if not answers:
            return
        with Session(self._database) as session, session.begin():
            for line, answer in answers:
                self._write_answer(session, line, answer)

    def _write_answer(self, session: Session, line: OutboxLine, answer: Answer) -> None:
        match answer.outcome:
            case Outcome.DELIVERED:
                self._move(session, line, OutboxState.DELIVERED, answer.text)
            case Outcome.REFUSED:
                self._move(session, line, OutboxState.REFUSED, answer.text)
            case Outcome.CLASS_REFUSED:
                self._stand_in(session, line, answer)
            case Outcome.LATER:
                pause_s = back_off_s(outbox.attempts(session, line.line), self._first_retry_s)
                now = self._clock()
                outbox.put_off(session, line.line, answer.text, now + timedelta(seconds=pause_s), now=now)
                self._count_retry(session)
            case Outcome.UNCLEAR:
                times = outbox.count_unclear(session, line.line)
                if times < MAXIMUM_UNCLEAR:
                    pause = timedelta(seconds=back_off_s(times, self._first_retry_s))
                    outbox.put_off(session, line.line, answer.text, self._clock() + pause, now=self._clock())
                    self._count_retry(session)
                else:
                    self._move(session, line, OutboxState.REFUSED, f"{answer.text}, sent {times} times")

    def _stand_in(self, session: Session, line: OutboxLine, answer: Answer) -> None:
        """Send the twin of an object whose class the peer refuses; else leave it out, if it may be left out."""
        twin = outbox.find_twin(session, line.line)
        if twin is None:
            left_out = OutboxState.REFUSED if line.kind in MANDATORY else OutboxState.SKIPPED
            self._move(session, line, left_out, answer.text)
        elif self._move(session, line, OutboxState.SKIPPED, f"{answer.text}; {twin} goes in its place"):
            outbox.queue_twin(session, line.line, self._clock())

    def _move(self, session: Session, line: OutboxLine, state: OutboxState, answer: str) -> bool:
        """Bring a line into `state`; False where it was cancelled meanwhile, or another node has sent it, too."""
        delivered = self._clock() if state is OutboxState.DELIVERED else None
        try:
            outbox.move(session, line.line, state, answer, delivered=delivered)
        except ForbiddenTransition as error:
            log.info("late answer", extra={"sop_instance_uid": line.sop_instance_uid, "reason": str(error)})
            return False
        after_commit(session, DELIVERIES.labels(self._name, state.value).inc)
        if state is OutboxState.DELIVERED:
            after_commit(session, lambda: DELIVERED_BYTES.labels(self._name).inc(line.size))
        return True

    def _count_retry(self, session: Session) -> None:
        after_commit(session, DELIVERY_RETRIES.labels(self._name).inc)

    def _head(self, session: Session, job_id: str) -> int | None:
        """The job's line that is next."""
        return session.scalar(
            select(func.min(OutboxRow.id)).where(
                OutboxRow.destination == self._name,
                OutboxRow.state == OutboxState.WAITING,
                OutboxRow.job_id == job_id,
            )
        )

    def _put_off(self, job_id: str, reason: str, until: datetime) -> None:
        """Show on the line that was next why it has not gone out."""
        with Session(self._database) as session, session.begin():
            if (head := self._head(session, job_id)) is not None:
                outbox.put_off(session, head, reason, until, now=self._clock(), count=True)
                outbox.hold_back(session, self._name, job_id)
                self._count_retry(session)

    def _sum_up(self, job_id: str, lines: Sequence[int]) -> None:
        """Add to the job's timeline what became of the lines, and close the job if that was all."""
        with Session(self._database) as session, session.begin():
            outbox.hold_back(session, self._name, job_id)
            counts = outbox.count_states(session, lines)
            summary = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
            if set(counts) - {OutboxState.WAITING}:
                job_states.note(session, job_id, "sent", f"{self._name}: {summary}", now=self._clock())
                numbers = {str(state): number for state, number in counts.items()}
                log.info("sent", extra={"job": job_id, "destination": self._name, **numbers})
            job_states.settle(session, job_id, self._clock())

    # ---- withdrawal
    def _try_to_take_back(self) -> bool:
        """Tell and ask what is due; a failure is followed by a pause that grows, and keeps nothing from being sent."""
        if self._clock() < self._take_back_not_before:
            return False
        try:
            done = self._withdrawals.pursue(self._open)
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 (as above)
            away = isinstance(error, PeerUnavailable)
            self._withdrawals.note_failure(str(error) if away else self._bug("taking back failed", error))
            self._take_back_failures += 1
            pause = timedelta(seconds=back_off_s(self._take_back_failures, self._first_retry_s))
            self._take_back_not_before = self._clock() + pause
            return False
        self._take_back_failures = 0
        return done

    # ---- confirmation
    def _try_to_confirm(self) -> bool:
        """As `_confirm`; a failure that nobody thought of is followed by a pause that grows, and shown.

        Raises
        ------
        PeerUnavailable
        """
        if self._clock() < self._confirm_not_before:
            return False
        try:
            done = self._confirm()
        except (PeerUnavailable, SQLAlchemyError):
            raise
        except Exception as error:  # noqa: BLE001 (as above)
            reason = self._bug("confirming failed", error)
            self._confirm_failures += 1
            pause = timedelta(seconds=back_off_s(self._confirm_failures, self._first_retry_s))
            self._confirm_not_before = self._clock() + pause
            with Session(self._database) as session, session.begin():
                outbox.note_unconfirmed(session, self._name, reason)
            return False
        self._confirm_failures = 0
        return done

    def _confirm(self) -> bool:
        """Ask whether the peer keeps what it was sent, and act on its reports; whether there was anything to do."""
        if not self._destination.confirms:
            return False
        delivery = self._open()
        try:
            done = self._commitments.take_reports()
            return self._commitments.pursue(delivery) or done
        finally:
            delivery.close()


def _unfit(line: OutboxLine, sent: set[str]) -> str:
    """Why the file of a line must not be sent, where digests of what was `sent` before are known; empty if it may."""
    digest = digest_of(line.path)
    if digest is None:
        return "the file is missing"
    if digest != line.sha256:
        return "the file is not what was encoded"
    return "" if sent <= {digest} else "other bytes were sent under this UID before"
