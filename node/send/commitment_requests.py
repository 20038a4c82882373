"""Does the peer keep what it was sent? Storage commitment as requester (PS3.4 annex J), else asking back.

A transaction is a record in the database before it is a message. The peer's report comes, as a rule, to the node's own
port: the receiver writes it into the record (state ``reported``), and it is taken from there. Where none comes in time,
or the peer offers no storage commitment, it is asked by C-FIND or QIDO-RS what it has.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import Engine as Database
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.database import job_states
from node.database.tables import CommitmentRow, ObjectRow, OutboxRow
from node.send.delivery import Delivery, Item
from node.send.dimse_delivery import DimseDelivery

log = logging.getLogger(__name__)

REPORT_TIMEOUT_S = 600.0  # then the peer is asked back instead
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 600.0
GIVE_UP_AFTER = timedelta(hours=24)
MAXIMUM_ATTEMPTS = 5  # an object that the peer took so often and still does not keep
ASKED, TO_ASK = "asked", ""


class Commitments:
    """The transactions with one destination."""

    def __init__(
        self,
        name: str,
        database: Database,
        clock: Callable[[], datetime],
        report_timeout_s: float = REPORT_TIMEOUT_S,
    ) -> None:
        self._name, self._database, self._clock = name, database, clock
        self._report_timeout = timedelta(seconds=report_timeout_s)

    # ---- reports
    def note_report(self, information: Dataset, event_type: int) -> None:
        """Keep a report that came on the association of the request; `take_reports` acts on it."""
        failed = {
            str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason", 0) or 0)
            for item in information.get("FailedSOPSequence", None) or ()
        }
        with Session(self._database) as session, session.begin():
            session.execute(
                update(CommitmentRow)
                .where(
                    CommitmentRow.transaction_uid == str(information.TransactionUID),
                    CommitmentRow.direction == "out",
                )
                .values(state="reported", answer=json.dumps({"event_type": event_type, "failed": failed}))
            )

    def take_reports(self) -> bool:
        """Act on the reports that have come; whether there were any."""
        with Session(self._database) as session:
            reported = session.scalars(self._transactions("reported")).all()
        for record in reported:
            failed: dict[str, int] = json.loads(record.answer)["failed"]
            committed = {uid for _, uid in record.references} - set(failed)
            with Session(self._database) as session, session.begin():
                self._confirm(session, committed, "storage commitment")
                for uid, reason in failed.items():
                    self._send_again(session, uid, f"not committed: 0x{reason:04X}")
                self._close(session, record, "failed" if failed else "confirmed")
            log.info(
                "commitment reported",
                extra={"destination": self._name, "committed": len(committed), "failed": len(failed)},
            )
        return bool(reported)

    # ---- requests
    def pursue(self, delivery: Delivery) -> bool:
        """Ask for commitment to what was delivered, or ask back; whether anything was done.

        Raises
        ------
        PeerUnavailable
        """
        self._begin_transactions()
        with Session(self._database) as session:
            due = session.scalars(self._transactions("waiting").where(CommitmentRow.not_before <= self._clock())).all()
        for record in due:
            if record.answer != ASKED and isinstance(delivery, DimseDelivery):
                asked = delivery.ask_commitment(record.transaction_uid, record.references, self.note_report)
                if asked:
                    self._wait(record, ASKED, self._report_timeout)
                    continue
            self._ask_back(record, delivery)
        return bool(due)

    def _begin_transactions(self) -> None:
        """Write down a transaction per job for delivered lines that are in none yet."""
        with Session(self._database) as session, session.begin():
            open_ = session.scalars(self._transactions("waiting", "reported")).all()
            under_way = {uid for record in open_ for _, uid in record.references}
            lines = [row for row in self._unconfirmed(session) if row[0].sop_instance_uid not in under_way]
            for _, group in groupby(lines, key=lambda row: row[0].job_id):
                session.add(
                    CommitmentRow(
                        transaction_uid=generate_uid(prefix="2.25."),
                        direction="out",
                        peer=self._name,
                        references=[[of.sop_class_uid, of.sop_instance_uid] for _, of in group],
                        state="waiting",
                        answer=TO_ASK,
                        not_before=self._clock(),
                        created=self._clock(),
                    )
                )

    def _ask_back(self, record: CommitmentRow, delivery: Delivery) -> None:
        """Ask what the peer has of the transaction, and take that as its word."""
        uids = {uid for _, uid in record.references}
        with Session(self._database) as session:
            lines = [(line, of) for line, of in self._unconfirmed(session) if line.sop_instance_uid in uids]
        found = delivery.find([_item(of) for _, of in lines]) if lines else set[str]()
        if found is None:
            self._cannot_ask(record, [line for line, _ in lines])
            return
        missing = {line.sop_instance_uid for line, _ in lines} - found
        if missing and record.attempts < MAXIMUM_ATTEMPTS:  # indexing takes archives a while
            self._wait(record, TO_ASK, _pause(record.attempts))
            with Session(self._database) as session, session.begin():
                self._confirm(session, found & uids, "found by query")
            return
        with Session(self._database) as session, session.begin():
            self._confirm(session, found & uids, "found by query")
            for uid in missing:
                self._send_again(session, uid, "not found by query")
            self._close(session, record, "failed" if missing else "confirmed")

    def _cannot_ask(self, record: CommitmentRow, lines: Sequence[OutboxRow]) -> None:
        """Try again later; after a day, let what was delivered stand as that."""
        old = [line for line in lines if line.delivered and self._clock() - line.delivered > GIVE_UP_AFTER]
        if not old:
            self._wait(record, TO_ASK, _pause(record.attempts))
            return
        log.warning("cannot be confirmed", extra={"destination": self._name, "count": len(old)})
        with Session(self._database) as session, session.begin():
            for line in old:
                session.execute(
                    update(OutboxRow)
                    .where(OutboxRow.id == line.id)
                    .values(confirm=False, answer="delivered; the peer cannot be asked whether it keeps it")
                )
            self._close(session, record, "failed")
            self._settle(session, {line.sop_instance_uid for line in old})

    # ---- lines
    def _confirm(self, session: Session, uids: set[str], how: str) -> None:
        for chunk in _chunks(sorted(uids)):
            session.execute(
                update(OutboxRow)
                .where(
                    OutboxRow.destination == self._name,
                    OutboxRow.sop_instance_uid.in_(chunk),
                    OutboxRow.state == "delivered",
                )
                .values(state="confirmed", answer=how)
            )
        self._settle(session, uids)

    def _send_again(self, session: Session, uid: str, why: str) -> None:
        """The peer took it and does not have it: send the same bytes again, a few times."""
        line = session.scalars(
            select(OutboxRow).where(
                OutboxRow.destination == self._name,
                OutboxRow.sop_instance_uid == uid,
                OutboxRow.state == "delivered",
            )
        ).first()
        if line is None:
            return
        line.answer = why
        if line.attempts >= MAXIMUM_ATTEMPTS:
            line.state = "refused"
        else:
            line.state, line.not_before = "waiting", self._clock() + _pause(line.attempts)
        session.flush()
        job_states.settle(session, line.job_id, self._clock())

    def _settle(self, session: Session, uids: set[str]) -> None:
        jobs: set[str] = set()
        for chunk in _chunks(sorted(uids)):
            jobs |= set(
                session.scalars(
                    select(OutboxRow.job_id)
                    .where(OutboxRow.destination == self._name, OutboxRow.sop_instance_uid.in_(chunk))
                    .distinct()
                )
            )
        for job_id in sorted(jobs):
            job_states.settle(session, job_id, self._clock())

    def _unconfirmed(self, session: Session) -> list[tuple[OutboxRow, ObjectRow]]:
        rows = session.execute(
            select(OutboxRow, ObjectRow)
            .join(ObjectRow, ObjectRow.sop_instance_uid == OutboxRow.sop_instance_uid)
            .where(OutboxRow.destination == self._name, OutboxRow.state == "delivered", OutboxRow.confirm)
            .order_by(OutboxRow.job_id, OutboxRow.id)
        )
        return list(rows)

    # ---- transactions
    def _transactions(self, *states: str) -> Any:
        return select(CommitmentRow).where(
            CommitmentRow.direction == "out",
            CommitmentRow.peer == self._name,
            CommitmentRow.state.in_(states),
        )

    def _wait(self, record: CommitmentRow, answer: str, pause: timedelta) -> None:
        """Come back to the transaction later; unless the report is there already."""
        with Session(self._database) as session, session.begin():
            session.execute(
                update(CommitmentRow)
                .where(CommitmentRow.transaction_uid == record.transaction_uid, CommitmentRow.state == "waiting")
                .values(answer=answer, attempts=CommitmentRow.attempts + 1, not_before=self._clock() + pause)
            )

    def _close(self, session: Session, record: CommitmentRow, state: str) -> None:
        session.execute(
            update(CommitmentRow).where(CommitmentRow.transaction_uid == record.transaction_uid).values(state=state)
        )


def _item(of: ObjectRow) -> Item:
    return Item(
        of.sop_class_uid,
        of.sop_instance_uid,
        of.series_instance_uid,
        of.study_instance_uid,
        Path(of.path),
        kind=of.kind,
    )


def _pause(attempts: int) -> timedelta:
    return timedelta(seconds=min(FIRST_PAUSE_S * 2.0 ** min(attempts, 30), LONGEST_PAUSE_S))


def _chunks(uids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (uids[start : start + 500] for start in range(0, len(uids), 500))
