"""Does the peer keep what it was sent? Storage commitment as requester (PS3.4 annex J), else asking back.

A transaction is a record in the database before it is a message. The peer's report comes, as a rule, to the node's own
port: the receiver writes it into the record (state ``reported``), and it is taken from there. Where none comes in time,
or the peer offers no storage commitment, it is asked by C-FIND or QIDO-RS what it has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from pydicom.uid import generate_uid
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from node.background import growing_pause_s
from node.database import commitments, job_states, outbox
from node.database.connection import Database
from node.database.states import CommitmentDirection, CommitmentState, OutboxState
from node.database.tables import CommitmentRow, OutboxRow
from node.network.commitment_information import Information
from node.send.delivery import Delivery
from node.send.dimse_delivery import DimseDelivery

log = logging.getLogger(__name__)

REPORT_TIMEOUT_S = 600.0  # then the peer is asked back instead
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 600.0
GIVE_UP_AFTER = timedelta(hours=24)
AT_ONCE, LINES_AT_ONCE = 20, 2000  # transactions that are asked about, and lines that enter new ones, in a turn
MAXIMUM_ATTEMPTS = 5  # an object that the peer took so often and still does not keep


class CommitmentRequests:
    """The transactions with one destination."""

    def __init__(
        self,
        name: str,
        database: Database,
        clock: Callable[[], datetime],
        data: Path,
        report_timeout_s: float = REPORT_TIMEOUT_S,
    ) -> None:
        self._name, self._database, self._clock, self._data = name, database, clock, data
        self._report_timeout = timedelta(seconds=report_timeout_s)

    def are_due(self, session: Session) -> bool:
        """Whether there is a report to act on, or something to ask for."""
        return (
            session.scalar(self._reported().limit(1)) is not None
            or session.scalar(self._due().limit(1)) is not None
            or outbox.has_unasked(session, self._name)
        )

    # ---- reports
    def note_report(self, information: Information, event_type: int) -> None:
        """Keep a report that came on the association of the request; `take_reports` acts on it."""
        report = commitments.Report(event_type, information.failed)
        with Session(self._database) as session, session.begin():
            commitments.note_report(session, information.transaction_uid, report)

    def take_reports(self) -> bool:
        """Act on the reports that have come, `AT_ONCE` at a time; whether there were any."""
        with Session(self._database) as session:
            reported = session.scalars(self._reported().limit(AT_ONCE)).all()
        for record in reported:
            failed = commitments.report_of(record).failed
            committed = {uid for _, uid in record.references} - set(failed)
            with Session(self._database) as session, session.begin():
                self._confirm(session, committed, "storage commitment")
                for uid, reason in failed.items():
                    self._send_again(session, uid, f"not committed: 0x{reason:04X}")
                self._close(session, record, kept=not failed)
            log.info(
                "commitment reported",
                extra={"destination": self._name, "committed": len(committed), "failed": len(failed)},
            )
        return bool(reported)

    # ---- requests
    def pursue(self, delivery: Delivery) -> bool:
        """Ask for commitment to what was delivered, or ask back, `AT_ONCE` at a time; whether anything was done.

        Raises
        ------
        PeerUnavailable
        """
        self.begin_transactions()
        with Session(self._database) as session:
            due = session.scalars(self._due().limit(AT_ONCE)).all()
        for record in due:
            if not record.asked and isinstance(delivery, DimseDelivery):
                asked = delivery.ask_commitment(record.transaction_uid, record.references, self.note_report)
                if asked:
                    self._wait(record, self._report_timeout, asked=True)
                    continue
            self._ask_back(record, delivery)
        return bool(due)

    def begin_transactions(self) -> None:
        """Write down a transaction per job for delivered lines that are in none yet."""
        with Session(self._database) as session, session.begin():
            lines = outbox.unasked(session, self._name, LINES_AT_ONCE)
            for _, group in groupby(lines, key=lambda row: row[0].job_id):
                of_job = list(group)
                transaction = generate_uid(prefix="2.25.")
                commitments.begin(
                    session,
                    transaction,
                    CommitmentDirection.OUT,
                    self._name,
                    [[of.sop_class_uid, of.sop_instance_uid] for _, of in of_job],
                    self._clock(),
                )
                outbox.enter_transaction(session, (line.id for line, _ in of_job), transaction)

    def _ask_back(self, record: CommitmentRow, delivery: Delivery) -> None:
        """Ask which objects of the transaction the peer has, and take those as kept."""
        uids = {uid for _, uid in record.references}
        with Session(self._database) as session:
            lines = outbox.unconfirmed(session, record.transaction_uid)
        found = delivery.find([outbox.encoded_object(of, self._data) for _, of in lines]) if lines else set[str]()
        if found is None:
            self._cannot_ask(record, [line for line, _ in lines])
            return
        missing = {line.sop_instance_uid for line, _ in lines} - found
        if missing and record.attempts < MAXIMUM_ATTEMPTS:  # indexing takes archives a while
            self._wait(record, _pause(record.attempts))
            with Session(self._database) as session, session.begin():
                self._confirm(session, found & uids, "found by query")
            return
        with Session(self._database) as session, session.begin():
            self._confirm(session, found & uids, "found by query")
            for uid in missing:
                self._send_again(session, uid, "not found by query")
            self._close(session, record, kept=not missing)

    def _cannot_ask(self, record: CommitmentRow, lines: Sequence[OutboxRow]) -> None:
        """Try again later; after a day, settle for delivered."""
        old = [line for line in lines if line.delivered and self._clock() - line.delivered > GIVE_UP_AFTER]
        if not old:
            self._wait(record, _pause(record.attempts))
            return
        log.warning("cannot be confirmed", extra={"destination": self._name, "count": len(old)})
        with Session(self._database) as session, session.begin():
            answer = "delivered; the peer cannot be asked whether it keeps it"
            outbox.give_up_confirming(session, [line.id for line in old], answer)
            self._close(session, record, kept=False)
            self._settle(session, {line.sop_instance_uid for line in old})

    # ---- lines
    def _confirm(self, session: Session, uids: set[str], how: str) -> None:
        outbox.confirm(session, self._name, uids, how)
        self._settle(session, uids)

    def _send_again(self, session: Session, uid: str, why: str) -> None:
        """Send the same bytes again, a few times, since the peer took the object and does not have it."""
        line = session.scalars(
            select(OutboxRow).where(
                OutboxRow.destination == self._name,
                OutboxRow.sop_instance_uid == uid,
                OutboxRow.state == OutboxState.DELIVERED,
                OutboxRow.confirm,  # else nobody waits for it any more, such as after a withdrawal
            )
        ).first()
        if line is None:
            return
        if line.attempts >= MAXIMUM_ATTEMPTS:
            outbox.move(session, line.id, OutboxState.REFUSED, why)
        else:
            outbox.move(session, line.id, OutboxState.WAITING, why)
            outbox.put_off(session, line.id, why, self._clock() + _pause(line.attempts), now=self._clock())
        job_states.settle(session, line.job_id, self._clock())

    def _settle(self, session: Session, uids: set[str]) -> None:
        for job_id in outbox.jobs_of(session, self._name, uids):
            job_states.settle(session, job_id, self._clock())

    # ---- transactions
    def _reported(self) -> Select[CommitmentRow]:
        reported = commitments.transactions(CommitmentDirection.OUT, CommitmentState.REPORTED, peer=self._name)
        return reported.order_by(CommitmentRow.not_before)

    def _due(self) -> Select[CommitmentRow]:
        return commitments.due(CommitmentDirection.OUT, self._clock(), peer=self._name)

    @staticmethod
    def _close(session: Session, record: CommitmentRow, *, kept: bool) -> None:
        commitments.close(session, record.transaction_uid, kept=kept)
        outbox.leave_transaction(session, record.transaction_uid)

    def _wait(self, record: CommitmentRow, pause: timedelta, *, asked: bool = False) -> None:
        """Come back to the transaction later; unless the report is there already."""
        later = self._clock() + pause
        with Session(self._database) as session, session.begin():
            commitments.wait(session, CommitmentDirection.OUT, record.transaction_uid, later, asked=asked)


def _pause(attempts: int) -> timedelta:
    return timedelta(seconds=growing_pause_s(attempts + 1, FIRST_PAUSE_S, LONGEST_PAUSE_S))
