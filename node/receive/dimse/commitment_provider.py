"""Storage commitment as its provider (PS3.4 J): a request is stored, and its report is sent until the peer accepts it.

"Committed" is reported of an instance that is under its final name and flushed to the disk, file and folder, whatever
the durability of reception is. The report goes to the address that the configuration has for the peer, on an
association of its own: most requesters have closed theirs by then. A peer without an address there gets it on the
association that it asked on (by the fast server). Reports on what the node itself asked an archive to commit come in
here too, and are left in the same table for the sender.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModelInstance
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from node.background import Loop
from node.config import Peer
from node.database import commitments
from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.states import CommitmentDirection, CommitmentState, ForbiddenTransition
from node.database.tables import CommitmentRow, InstanceRow
from node.errors import ConfigurationError
from node.network.commitment_information import (
    INVALID_ARGUMENT,
    RESOURCE_LIMITATION,
    Failure,
    Information,
    Reference,
    data_set,
)
from node.network.requestor import no_delay
from node.network.sop_classes import StorageCommitmentPushModel
from node.network.tls import client_context
from node.progress import goes_on
from node.receive.status import NotStored
from node.receive.store.header import is_uid
from node.receive.store.locks import LeaderLock
from node.receive.store.part10 import read_meta
from node.receive.store.store import Store

log = logging.getLogger(__name__)

SUCCESS, PROCESSING_FAILURE, DUPLICATE_TRANSACTION = 0x0000, 0x0110, 0x0131
NO_SUCH_INSTANCE, CLASS_INSTANCE_CONFLICT = 0x0112, 0x0119  # PS3.3 C.14.1.1
ALL_COMMITTED, SOME_FAILED = 1, 2  # event types, PS3.4 J.3.3.1

MAXIMUM_REFERENCES = 50_000  # different ones of one request
MAXIMUM_WAITING = 1000  # requests of one peer that wait for their report
REMEMBERED = 200_000  # failures, and transactions, whose outcome is not looked up again
REFERENCES_A_SECOND = 500  # that a slow peer takes in
POLL_S = 1.0
AT_ONCE = 100  # reports that are sent before the database is asked again
CONNECT_S = 10.0
FIRST_RETRY_S, LONGEST_RETRY_S = 5.0, 3600.0
GIVE_UP_AFTER = timedelta(days=7)


@dataclass(frozen=True)
class Outcome:
    """What is to be reported on a request."""

    transaction_uid: str
    kept: list[Reference]
    failed: list[Failure]

    @property
    def event_type(self) -> int:
        """That of the N-EVENT-REPORT."""
        return SOME_FAILED if self.failed else ALL_COMMITTED

    @property
    def count(self) -> int:
        """How many references it has."""
        return len(self.kept) + len(self.failed)

    def information(self, syntax: str) -> Dataset:
        """The data set of the N-EVENT-REPORT, for a presentation context of that transfer syntax."""
        return data_set(self.transaction_uid, self.kept, self.failed, syntax)


class CommitmentProvider:
    """Takes requests and reports; `start` sends the answers from a thread of its own.

    Parameters
    ----------
    database
        The node's database.
    store
        Holds the instances, and makes them safe.
    ae_title
        The node's.
    peers
        Where reports go.
    leader_lock
        Only the process that has it sends reports.
    clock
        The time, with its zone.
    """

    def __init__(
        self,
        database: Database,
        store: Store,
        ae_title: str,
        peers: Mapping[str, Peer],
        leader_lock: LeaderLock,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._store = store
        self._ae_title = ae_title
        self._peers = peers
        self._leader_lock = leader_lock
        self._clock = clock
        self._checking = threading.Lock()  # what a request names is looked up once, also where two threads want it
        self._outcomes: dict[str, dict[Reference, int]] = {}  # failures by transaction, the oldest first
        self._loop = Loop("storage commitment", self._work, every_s=POLL_S)

    def start(self) -> None:
        """Begin to send reports."""
        self._loop.start()

    def stop(self) -> None:
        """End after the report that is being sent."""
        self._loop.stop()

    def problem(self) -> str | None:
        """Why no reports are sent at the moment, or None."""
        return self._loop.problem()

    def request(self, peer: str, information: Information) -> int:
        """Store a request; the status of its N-ACTION. A request that comes again is reported again."""
        transaction, references = information.transaction_uid, information.references
        if len(references) > MAXIMUM_REFERENCES:
            return RESOURCE_LIMITATION
        if not is_uid(transaction) or not references:
            return INVALID_ARGUMENT
        if not all(is_uid(uid) for reference in references for uid in reference):
            return INVALID_ARGUMENT
        now = self._clock()
        try:
            with Session(self._database) as session, session.begin():
                known = session.get(CommitmentRow, transaction)
                if known is not None:
                    if (known.direction, known.peer, known.references) != (CommitmentDirection.IN, peer, references):
                        return DUPLICATE_TRANSACTION
                    commitments.ask_again(session, transaction, now)
                elif commitments.waiting(session, CommitmentDirection.IN, peer) >= MAXIMUM_WAITING:
                    return RESOURCE_LIMITATION
                else:
                    commitments.begin(session, transaction, CommitmentDirection.IN, peer, references, now)
        except SQLAlchemyError as error:
            # the same transaction twice at once, or a database that is down: the peer asks again
            log.error("commitment request not stored", extra={"peer": peer, "error": type(error).__name__})
            return DUPLICATE_TRANSACTION if isinstance(error, IntegrityError) else PROCESSING_FAILURE
        with self._checking:
            self._outcomes.pop(transaction, None)
        log.info("commitment requested", extra={"peer": peer, "transaction_uid": transaction, "count": len(references)})
        self._loop.wake()
        return SUCCESS

    def take_report(self, calling: str, event_type: int, information: Information) -> int:
        """Store an archive's report on what we asked for: `answer` holds the failure reason of each failed instance.

        Parameters
        ----------
        calling
            AE title of the archive.
        event_type
            1: all committed, 2: some failed (PS3.4 J.3.3.1).
        information
            What the data set of the N-EVENT-REPORT says.
        """
        transaction = information.transaction_uid
        if not is_uid(transaction):
            return INVALID_ARGUMENT
        try:
            with Session(self._database) as session, session.begin():
                commitments.note_report(session, transaction, commitments.Report(event_type, information.failed))
        except ForbiddenTransition:  # the node has not asked for it
            return INVALID_ARGUMENT
        except SQLAlchemyError as error:
            log.error("commitment report not stored", extra={"calling": calling, "error": type(error).__name__})
            return PROCESSING_FAILURE
        log.info("commitment reported to us", extra={"calling": calling, "transaction_uid": transaction})
        return SUCCESS

    # ------------------------------------------------------------ answers

    def _work(self) -> None:
        if self._leader_lock.is_mine():
            self.send_due()

    def send_due(self) -> int:
        """Send the reports that are due, `AT_ONCE` of them at most; how many the peers took."""
        with Session(self._database) as session:
            due = commitments.due(CommitmentDirection.IN, self._clock()).limit(AT_ONCE)
            transactions = session.scalars(due.with_only_columns(CommitmentRow.transaction_uid)).all()
        taken = 0
        for transaction in transactions:
            if self._loop.stopping.is_set():
                break
            goes_on()
            with Session(self._database) as session:  # one at a time: each may have tens of thousands of references
                record = session.get(CommitmentRow, transaction)
            if record is None:
                continue
            answer = self._send(record.peer, self.result(record.transaction_uid, record.references))
            self._settle(record, answer)
            taken += not answer
        return taken

    def result_of(self, transaction_uid: str) -> Outcome:
        """What is to be reported on a request that has just been stored."""
        with Session(self._database) as session:
            record = session.get_one(CommitmentRow, transaction_uid)
        return self.result(transaction_uid, record.references)

    def reported(self, transaction_uid: str, status: int) -> None:
        """A peer answered a report on the association that it had asked on."""
        with Session(self._database) as session:
            record = session.get(CommitmentRow, transaction_uid)
        if record is not None:
            self._settle(record, "" if status == SUCCESS else f"The peer answered 0x{status:04X}")

    def result(self, transaction_uid: str, references: list[Any]) -> Outcome:
        """What is to be reported on a request, after making what is there safe.

        It is found out once and then holds, however often the report has to be sent.
        """
        with self._checking:
            failed = self._outcomes.get(transaction_uid)
            if failed is None:
                failed = self._failures([(sop_class, uid) for sop_class, uid in references])
                self._remember(transaction_uid, failed)
        kept = [(sop_class, uid) for sop_class, uid in references if (sop_class, uid) not in failed]
        return Outcome(transaction_uid, kept, [(*reference, reason) for reference, reason in failed.items()])

    def _remember(self, transaction_uid: str, failed: dict[Reference, int]) -> None:
        self._outcomes[transaction_uid] = failed
        while len(self._outcomes) > 1 and sum(1 + len(one) for one in self._outcomes.values()) > REMEMBERED:
            del self._outcomes[next(iter(self._outcomes))]  # the oldest

    def _failures(self, references: list[Reference]) -> dict[Reference, int]:
        """Why instances cannot be committed; the others are safe."""
        failed: dict[Reference, int] = {}
        safe = self._known_safe([uid for _, uid in references])
        unsafe: dict[str, Reference] = {}
        for reference in references:
            goes_on()
            reason, changed = self._look(*reference)
            if reason:
                failed[reference] = reason
            elif changed > safe.get(reference[1], 0.0):
                unsafe[reference[1]] = reference
        for uid in unsafe.keys() - self._store.make_safe(unsafe):
            failed[unsafe[uid]] = PROCESSING_FAILURE
        return failed

    def _known_safe(self, uids: list[str]) -> dict[str, float]:
        """When those of the instances came that are on the disk already, by their receipts."""
        with Session(self._database) as session:
            return {
                row.sop_instance_uid: row.received.timestamp()
                for chunk in in_chunks(uids)
                for row in session.execute(
                    select(InstanceRow.sop_instance_uid, InstanceRow.received).where(
                        InstanceRow.sop_instance_uid.in_(chunk), InstanceRow.fsynced
                    )
                )
            }

    def _look(self, sop_class_uid: str, sop_instance_uid: str) -> tuple[int, float]:
        """Why an instance cannot be committed, or when its file changed last."""
        if self._store.is_taken(sop_instance_uid):
            return PROCESSING_FAILURE, 0.0  # of two instances of that UID one was refused; its sender must keep it
        path = self._store.find(sop_instance_uid)
        if path is None:
            return NO_SUCH_INSTANCE, 0.0
        try:
            with path.open("rb") as file:
                changed = os.fstat(file.fileno()).st_ctime
                same = read_meta(file).sop_class_uid == sop_class_uid
        except (OSError, NotStored):
            return PROCESSING_FAILURE, 0.0
        return (0, changed) if same else (CLASS_INSTANCE_CONFLICT, 0.0)

    def _send(self, name: str, outcome: Outcome) -> str:
        """Report to a peer; what went wrong, or nothing."""
        peer = self._peers.get(name)
        if peer is None or peer.host is None or peer.port is None:
            return f"peers.{name} has no host and port to report to"
        try:
            # asked first, because pynetdicom leaves its socket open where nobody listens
            socket.create_connection((peer.host, peer.port), CONNECT_S).close()
            tls = (client_context(peer.tls), peer.host) if peer.tls else None
        except (OSError, ConfigurationError):
            return "The peer cannot be reached"
        ae = AE(ae_title=self._ae_title)
        ae.acse_timeout = ae.network_timeout = 30
        ae.dimse_timeout = 30 + outcome.count / REFERENCES_A_SECOND
        ae.connection_timeout = CONNECT_S
        ae.add_requested_context(StorageCommitmentPushModel)
        association = ae.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
            tls_args=tls,
            evt_handlers=[(evt.EVT_CONN_OPEN, no_delay)],
        )
        if not association.is_established:
            return "The peer cannot be reached" if not association.is_rejected else "The peer refused the association"
        try:
            syntax = str(association.accepted_contexts[0].transfer_syntax[0])
            status, _ = association.send_n_event_report(
                outcome.information(syntax),
                outcome.event_type,
                StorageCommitmentPushModel,
                StorageCommitmentPushModelInstance,
            )
        except (IndexError, ValueError, RuntimeError):
            return "The peer did not accept storage commitment"
        finally:
            association.release()
        code = status.get("Status")
        return (
            "" if code == SUCCESS else "The peer did not answer" if code is None else f"The peer answered 0x{code:04X}"
        )

    def _settle(self, record: CommitmentRow, answer: str) -> None:
        now = self._clock()
        with Session(self._database) as session, session.begin():
            if not answer:
                state = CommitmentState.REPORTED
                commitments.report_taken(session, record.transaction_uid)
            elif now - record.created > GIVE_UP_AFTER:
                state = CommitmentState.FAILED
                commitments.give_up(session, record.transaction_uid, answer)
            else:
                state = CommitmentState.WAITING
                pause = timedelta(seconds=min(FIRST_RETRY_S * 2 ** min(record.attempts, 12), LONGEST_RETRY_S))
                direction = CommitmentDirection.IN
                commitments.wait(session, direction, record.transaction_uid, now + pause, answer=answer)
        log.info(
            "commitment report",
            extra={"transaction_uid": record.transaction_uid, "peer": record.peer, "state": state, "answer": answer},
        )
