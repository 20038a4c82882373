"""The outbox: a line per object and destination, sent until the peer has taken it, and then, if asked for, confirmed.

Every destination has a thread of its own, so that one dead peer costs nobody else anything. Nothing here knows jobs but
by their records; what is to be sent is what the outbox says, also after a crash.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from node.background import Loop
from node.config import Configuration, Destination, DicomWebDestination, DimseDestination, FhirDestination
from node.database import job_states, outbox
from node.database.connection import Database
from node.database.outbox import OutboxLine
from node.database.states import ForbiddenTransition, OutboxState
from node.database.tables import LaneRow, OutboxRow
from node.errors import PeerUnavailable
from node.send.commitment_requests import CommitmentRequests
from node.send.delivery import MANDATORY, Answer, Delivery, Outcome
from node.send.dicomweb_delivery import DicomWebDelivery
from node.send.dimse_delivery import DimseDelivery
from node.send.fhir_delivery import FhirDelivery
from node.send.folder_delivery import FolderDelivery

log = logging.getLogger(__name__)

POLL_S = 0.1
CONFIRM_EVERY = 5  # polls, until unconfirmed lines are looked at
FIRST_RETRY_S, LONGEST_RETRY_S = 2.0, 300.0
STOP_PATIENCE_S = 5.0
CLAIM_S = 30.0
NOTE_EVERY_S = 0.2  # answers are kept at least so often
SWEEP_S = 5.0  # until jobs are looked for that are sent and not closed

Clock = Callable[[], datetime]


def back_off_s(attempts: int, first_s: float = FIRST_RETRY_S) -> float:
    """How long to wait after the given number of failures in a row."""
    return min(first_s * 2.0 ** min(attempts - 1, 30), LONGEST_RETRY_S)


def open_delivery(name: str, destination: Destination, ae_title: str) -> Delivery:
    """A way to the destination, nothing connected yet."""
    if isinstance(destination, DimseDestination):
        return DimseDelivery(name, destination, ae_title)
    if isinstance(destination, DicomWebDestination):
        return DicomWebDelivery(name, destination)
    if isinstance(destination, FhirDestination):
        return FhirDelivery(name, destination)
    return FolderDelivery(name, destination)


class Lane:
    """Everything that goes to one destination.

    Parameters
    ----------
    clock
        Now, timezone aware; times in the outbox are held against it.
    first_retry_s
        Pause after the first failure; it doubles with every further one.
    stop
        Once set, no further object is sent.
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
    ) -> None:
        self._stop = stop or threading.Event()
        self._name, self._destination, self._database, self._clock = name, destination, database, clock
        self._ae_title, self._first_retry_s = ae_title, first_retry_s
        self._failures, self._not_before = 0, datetime.min.replace(tzinfo=UTC)
        self._commitments = CommitmentRequests(name, database, clock)
        self._ways = destination.associations if isinstance(destination, DimseDestination) else 1

    def turn(self) -> bool:
        """Send what is due of one job, and see to confirmations; whether there was anything to do.

        While the peer cannot be reached, nothing is tried before the back-off is over.
        """
        if self._clock() < self._not_before:
            return False
        job_id = self._next_job()
        try:
            if job_id is not None:
                self._send_job(job_id)
            confirmed = self._confirm()
        except PeerUnavailable as error:
            self._failures += 1
            wait = timedelta(seconds=back_off_s(self._failures, self._first_retry_s))
            self._not_before = self._clock() + wait
            self._put_off(job_id, str(error))
            log.warning(
                "destination cannot be reached",
                extra={"destination": self._name, "reason": str(error), "retry_s": wait.total_seconds()},
            )
            return False
        self._failures = 0
        return job_id is not None or confirmed

    # ---- which lines
    def _next_job(self) -> str | None:
        """The job whose first waiting line has waited longest and is due."""
        heads = (
            select(func.min(OutboxRow.id))
            .where(OutboxRow.destination == self._name, OutboxRow.state == OutboxState.WAITING)
            .group_by(OutboxRow.job_id)
        )
        query = (
            select(OutboxRow.job_id)
            .where(OutboxRow.id.in_(heads), OutboxRow.not_before <= self._clock())
            .order_by(OutboxRow.not_before, OutboxRow.id)  # one that fails again and again goes behind the others
            .limit(1)
        )
        with Session(self._database) as session:
            return session.scalar(query)

    def _waiting(self, job_id: str) -> list[OutboxLine]:
        with Session(self._database) as session:
            return outbox.waiting_lines(session, self._name, job_id)

    # ---- sending
    def _send_job(self, job_id: str) -> None:
        """Send the job's waiting lines, one order after the other; stop where something has to wait.

        Raises
        ------
        PeerUnavailable
        """
        lines = self._waiting(job_id)
        deliveries = [open_delivery(self._name, self._destination, self._ae_title) for _ in range(self._ways)]
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

    def _send_group(self, deliveries: Sequence[Delivery], items: list[OutboxLine]) -> bool:
        """Send objects of one order over all associations; whether all of them have got their answer."""
        items = self._fit_to_send(items)
        ways = min(len(deliveries), len(items))
        if ways <= 1:
            return self._send_items(deliveries[0], items)
        with ThreadPoolExecutor(ways) as threads:
            shares = [items[way::ways] for way in range(ways)]
            done = [
                threads.submit(self._send_items, delivery, share)
                for delivery, share in zip(deliveries, shares, strict=False)
            ]
        answered = [future.result() for future in done]
        return all(answered)

    def _send_items(self, delivery: Delivery, items: Sequence[OutboxLine]) -> bool:
        """Send objects one after the other, and keep the answers: a few together, as each costs the disk a flush.

        An answer that a crash takes away costs a repetition with the same bytes.
        """
        answered, noted = True, time.monotonic()
        pending: list[tuple[OutboxLine, Answer]] = []
        try:
            for item, answer in delivery.send(items) if items else ():
                pending.append((item, answer))
                answered &= answer.outcome is not Outcome.LATER
                if time.monotonic() - noted > NOTE_EVERY_S:
                    self._note(pending)
                    pending, noted = [], time.monotonic()
                if self._stop.is_set():
                    return False
        finally:
            self._note(pending)
        return answered

    def _fit_to_send(self, items: list[OutboxLine]) -> list[OutboxLine]:
        """Those whose file is what was encoded and, if it was ever sent, what was sent; the rest is refused."""
        fit, unfit = [], []
        with Session(self._database) as session:
            sent = outbox.digests_sent(session, (item.sop_instance_uid for item in items))
        for item in items:
            digest = _digest(item.path)
            if digest != item.sha256:
                unfit.append((item, "the file is missing" if digest is None else "the file is not what was encoded"))
            elif sent.get(item.sop_instance_uid, {digest}) != {digest}:
                unfit.append((item, "other bytes were sent under this UID before"))
            else:
                fit.append(item)
        with Session(self._database) as session, session.begin():
            for item, reason in unfit:
                log.error("object refused", extra={"sop_instance_uid": item.sop_instance_uid, "reason": reason})
                outbox.move(session, item.line, OutboxState.REFUSED, f"not sent: {reason}")
            for item in fit:
                outbox.begin_attempt(session, item)
        return fit

    # ---- answers
    def _note(self, answers: Sequence[tuple[OutboxLine, Answer]]) -> None:
        """Keep the answers to some objects."""
        if not answers:
            return
        with Session(self._database) as session, session.begin():
            for item, answer in answers:
                self._note_one(session, item, answer)

    def _note_one(self, session: Session, item: OutboxLine, answer: Answer) -> None:
        try:
            match answer.outcome:
                case Outcome.DELIVERED:
                    outbox.move(session, item.line, OutboxState.DELIVERED, answer.text, delivered=self._clock())
                case Outcome.REFUSED:
                    outbox.move(session, item.line, OutboxState.REFUSED, answer.text)
                case Outcome.CLASS_REFUSED:
                    self._stand_in(session, item, answer)
                case Outcome.LATER:
                    pause_s = back_off_s(outbox.attempts(session, item.line), self._first_retry_s)
                    outbox.put_off(session, item.line, answer.text, self._clock() + timedelta(seconds=pause_s))
        except ForbiddenTransition as error:  # cancelled meanwhile, or sent by another node too
            log.info("late answer", extra={"sop_instance_uid": item.sop_instance_uid, "reason": str(error)})

    def _stand_in(self, session: Session, item: OutboxLine, answer: Answer) -> None:
        """Send the twin of an object whose class the peer refuses; else leave it out, if it may be left out."""
        twin = outbox.queue_twin(session, item.line, self._clock())
        if twin is not None:
            outbox.move(session, item.line, OutboxState.SKIPPED, f"{answer.text}; {twin} goes in its place")
        elif item.kind in MANDATORY:
            outbox.move(session, item.line, OutboxState.REFUSED, answer.text)
        else:
            outbox.move(session, item.line, OutboxState.SKIPPED, answer.text)

    def _put_off(self, job_id: str | None, reason: str) -> None:
        """Show on the line that was next why it has not gone out."""
        if job_id is None:
            return
        with Session(self._database) as session, session.begin():
            head = session.scalar(
                select(func.min(OutboxRow.id)).where(
                    OutboxRow.destination == self._name,
                    OutboxRow.state == OutboxState.WAITING,
                    OutboxRow.job_id == job_id,
                )
            )
            if head is not None:
                outbox.put_off(session, head, reason, self._not_before, count=True)

    def _sum_up(self, job_id: str, lines: Sequence[int]) -> None:
        """Note on the job's timeline what became of the lines, and close the job if that was all."""
        with Session(self._database) as session, session.begin():
            counts = outbox.count_states(session, lines)
            summary = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
            if set(counts) - {OutboxState.WAITING}:
                job_states.note(session, job_id, "sent", f"{self._name}: {summary}", now=self._clock())
                log.info(
                    "sent",
                    extra={
                        "job": job_id,
                        "destination": self._name,
                        **{str(state): number for state, number in counts.items()},
                    },
                )
            job_states.settle(session, job_id, self._clock())

    # ---- confirmation
    def _confirm(self) -> bool:
        """Ask for, and take note of, the peer's word that it keeps what it was sent."""
        if not self._destination.confirms:
            return False
        delivery = open_delivery(self._name, self._destination, self._ae_title)
        try:
            done = self._commitments.take_reports()
            return self._commitments.pursue(delivery) or done
        finally:
            delivery.close()


class Sender:
    """A thread per destination, and one that wakes them when there is something for them.

    Parameters
    ----------
    database
        The node's records.
    clock
        Now, timezone aware.
    first_retry_s
        Pause after the first failure of a destination; it doubles with every further one.
    name
        This node among all that share the database; by default `job_states.node_name`.
    claim_s
        How long after it was last heard of another node may send in its place.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        clock: Clock = lambda: datetime.now(UTC),
        first_retry_s: float = FIRST_RETRY_S,
        name: str | None = None,
        claim_s: float = CLAIM_S,
    ) -> None:
        self._database, self._clock = database, clock
        self._name, self._claim_s = name or job_states.node_name(configuration), claim_s
        self._ours: set[str] = set()
        self._stop = threading.Event()
        self._lanes = {
            name: Lane(name, destination, configuration.node.ae_title, database, clock, first_retry_s, self._stop)
            for name, destination in configuration.destinations.items()
        }
        self._loops = {
            name: Loop(f"sending to {name}", partial(self._send_due, name), every_s=None, first_s=None)
            for name in self._lanes
        }
        self._polls = itertools.count()
        self._claimed = self._swept = -math.inf
        self._outbox = Loop("outbox", self._wake_due, every_s=POLL_S, first_s=POLL_S)

    def start(self) -> None:
        """Begin to send."""
        self._stop.clear()
        self._claimed = self._swept = -math.inf
        for loop in (self._outbox, *self._loops.values()):
            loop.start()

    def stop(self) -> None:
        """Stop after the object that is just being sent; the rest goes out at the next start."""
        self._stop.set()
        for loop in (self._outbox, *self._loops.values()):
            loop.stop(timeout_s=0.0)  # all of them, before one is waited for
        deadline = time.monotonic() + STOP_PATIENCE_S
        for loop in (self._outbox, *self._loops.values()):  # one that waits for a silent peer ends with the process
            loop.stop(timeout_s=max(0.0, deadline - time.monotonic()))

    def problem(self) -> str | None:
        """Why nothing, or not everything, is sent at the moment; None if it is. A peer that is away is no problem."""
        found = (loop.problem() for loop in (self._outbox, *self._loops.values()))
        return next((problem for problem in found if problem), None)

    def _wake_due(self) -> None:
        """Wake the lanes that have something to do; one question for all of them."""
        if time.monotonic() - self._claimed > self._claim_s / 6:
            self._ours, self._claimed = self._claim(), time.monotonic()
        if time.monotonic() - self._swept > SWEEP_S:
            with Session(self._database) as session, session.begin():
                job_states.settle_left_over(session, self._clock())
            self._swept = time.monotonic()
        with Session(self._database) as session:
            names = select(OutboxRow.destination).distinct()
            waiting = names.where(OutboxRow.state == OutboxState.WAITING, OutboxRow.not_before <= self._clock())
            unconfirmed = names.where(OutboxRow.state == OutboxState.DELIVERED, OutboxRow.confirm)
            due = set(session.scalars(waiting))
            if next(self._polls) % CONFIRM_EVERY == 0:
                due |= set(session.scalars(unconfirmed))
        for name in due & set(self._loops):
            self._loops[name].wake()

    def _send_due(self, name: str) -> None:
        while name in self._ours and not self._stop.is_set() and self._lanes[name].turn():
            pass

    def _claim(self) -> set[str]:
        """The destinations that are this node's to send to: of several nodes on one database, one at a time is.

        A claim lasts while it is renewed. One that was lost and is still acted on, by a node that was frozen, does no
        harm: the same bytes arrive twice.
        """
        if self._database.dialect.name != "postgresql":
            return set(self._lanes)  # SQLite is one node's own; the engine's file lock sees to that
        ours = set()
        for name in self._lanes:
            with Session(self._database) as session, session.begin():
                now = session.scalars(select(func.current_timestamp())).one()
                free = or_(LaneRow.owner == self._name, LaneRow.seen < now - timedelta(seconds=self._claim_s))
                renewed = session.scalar(
                    update(LaneRow)
                    .where(LaneRow.destination == name, free)
                    .values(owner=self._name, seen=now)
                    .returning(LaneRow.destination)
                )
                taken = renewed or session.scalar(
                    postgresql.insert(LaneRow)
                    .values(destination=name, owner=self._name, seen=now)
                    .on_conflict_do_nothing()
                    .returning(LaneRow.destination)
                )
                if taken:
                    ours.add(name)
        return ours


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
