"""Storage commitment as its provider (PS3.4 J): a request is stored, and its report is sent until the peer accepts it.

"Committed" is reported of an instance that is under its final name and flushed to the disk, file and folder, whatever
the durability of reception is. Reports go to the address that the configuration has for the peer, on an
association of their own: most requesters have closed theirs by then. Each such peer has a thread, so that one that is
away or slow holds up none of the others. A peer without an address gets its report on the association that it asked on
(by the fast server). Reports on what the node itself asked an archive to commit come in
here too, and are left in the same table for the sender.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModelInstance
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from node.background import Loop, growing_pause_s
from node.config import Peer
from node.database import commitments
from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.states import CommitmentDirection, CommitmentState, ForbiddenTransition
from node.database.tables import CommitmentRow, InstanceRow
from node.errors import ConfigurationError, PeerUnavailable
from node.network.associations import Associations, leave
from node.network.commitment_information import (
    INVALID_ARGUMENT,
    RESOURCE_LIMITATION,
    Failure,
    Information,
    NotTaken,
    Reference,
    data_set,
)
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
AT_ONCE = 100  # reports on one association
CONNECT_S, ANSWER_S = 10.0, 30.0
STOP_PATIENCE_S = 2.0
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
    """Takes requests and reports; `start` sends the answers, from a thread for each peer that has an address.

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
        self._remembering = threading.Lock()
        # failures by transaction and when it was asked for last, the oldest first
        self._outcomes: dict[tuple[str, datetime], dict[Reference, int]] = {}
        self._loop = Loop("storage commitment", self._work, every_s=POLL_S)
        self._associations = Associations()
        self._reporters: dict[str, Loop] = {}  # by name of the peer, from its first report on

    def reconfigure(self, peers: Mapping[str, Peer]) -> None:
        """Report to these from the next report on."""
        self._peers = peers

    def start(self) -> None:
        """Begin to send reports."""
        self._associations.start()
        self._loop.start()

    def stop(self) -> None:
        """End after the reports that are being sent; a peer that takes long over one gets it again."""
        loops = (self._loop, *self._reporters.values())
        for loop in loops:  # all of them at once, before the first is waited for
            loop.stopping.set()
        deadline = time.monotonic() + STOP_PATIENCE_S
        for loop in loops:
            loop.stop(max(0.0, deadline - time.monotonic()))
        self._associations.stop()
        for loop in loops:
            loop.stop()

    def problem(self) -> str | None:
        """Why no reports are sent at the moment, or None."""
        loops = (self._loop, *list(self._reporters.values()))
        return "; ".join(filter(None, (loop.problem() for loop in loops))) or None

    def request(self, peer: str, information: Information) -> None:
        """Store a request. One that comes again is reported again.

        Raises
        ------
        NotTaken
            With the status of its N-ACTION.
        """
        transaction, references = information.transaction_uid, information.references
        if len(references) > MAXIMUM_REFERENCES:
            raise NotTaken(RESOURCE_LIMITATION, f"names more than {MAXIMUM_REFERENCES} instances")
        if not is_uid(transaction) or not references:
            raise NotTaken(INVALID_ARGUMENT, "has no Transaction UID, or names no instance")
        if not all(is_uid(uid) for reference in references for uid in reference):
            raise NotTaken(INVALID_ARGUMENT, "names an instance by what is no UID")
        now = self._clock()
        try:
            with Session(self._database) as session, session.begin():
                known = session.get(CommitmentRow, transaction)
                if known is not None:
                    if (known.direction, known.peer, known.references) != (CommitmentDirection.IN, peer, references):
                        raise NotTaken(DUPLICATE_TRANSACTION, "has the Transaction UID of another one")
                    commitments.ask_again(session, transaction, now)
                elif commitments.waiting(session, CommitmentDirection.IN, peer) >= MAXIMUM_WAITING:
                    raise NotTaken(RESOURCE_LIMITATION, f"is one too many: {MAXIMUM_WAITING} of the peer wait")
                else:
                    commitments.begin(session, transaction, CommitmentDirection.IN, peer, references, now)
        except SQLAlchemyError as error:
            # the same transaction twice at once, or a database that is down: the peer asks again
            status = DUPLICATE_TRANSACTION if isinstance(error, IntegrityError) else PROCESSING_FAILURE
            raise NotTaken(status, f"cannot be stored ({type(error).__name__})") from error
        log.info("commitment requested", extra={"peer": peer, "transaction_uid": transaction, "count": len(references)})
        self._loop.wake()

    def take_report(self, calling: str, event_type: int, information: Information) -> None:
        """Store an archive's report on what we asked for: `answer` holds the failure reason of each failed instance.

        Parameters
        ----------
        calling
            AE title of the archive.
        event_type
            1: all committed, 2: some failed (PS3.4 J.3.3.1).
        information
            What the data set of the N-EVENT-REPORT says.

        Raises
        ------
        NotTaken
            With the status of its N-EVENT-REPORT.
        """
        transaction = information.transaction_uid
        if not is_uid(transaction):
            raise NotTaken(INVALID_ARGUMENT, "has no Transaction UID")
        try:
            with Session(self._database) as session, session.begin():
                commitments.note_report(session, transaction, commitments.Report(event_type, information.failed))
        except ForbiddenTransition as error:
            raise NotTaken(INVALID_ARGUMENT, "is on a transaction that the node has not asked for") from error
        except SQLAlchemyError as error:
            raise NotTaken(PROCESSING_FAILURE, f"cannot be stored ({type(error).__name__})") from error
        log.info("commitment reported to us", extra={"calling": calling, "transaction_uid": transaction})

    # ------------------------------------------------------------ answers

    def _work(self) -> None:
        """Wake the threads of the peers that a report is due for."""
        if not self._leader_lock.is_mine():
            return
        with Session(self._database) as session:
            due = commitments.due(CommitmentDirection.IN, self._clock()).order_by(None)
            peers = session.scalars(due.with_only_columns(CommitmentRow.peer).distinct()).all()
        for name in peers:
            if self._address(name) is None:
                self.send_due(name)  # which writes down why it gets none
            elif name in self._reporters:
                self._reporters[name].wake()
            else:
                self._reporters[name] = Loop(f"storage commitment of {name}", partial(self._report, name), every_s=None)
                self._reporters[name].start()

    def _report(self, name: str) -> float | None:
        return 0.0 if self.send_due(name) else None  # there may be more

    def send_due(self, name: str) -> int:
        """Send a peer the reports that are due, `AT_ONCE` of them at most, on one association; how many it took."""
        with Session(self._database) as session:
            due = commitments.due(CommitmentDirection.IN, self._clock(), name).limit(AT_ONCE)
            transactions = session.scalars(due.with_only_columns(CommitmentRow.transaction_uid)).all()
        loop = self._reporters.get(name, self._loop)
        association: Association | None = None
        peer, address = self._peers.get(name), self._address(name)
        away = "" if address else f"peers.{name} has no host and port to report to"  # why it takes none at the moment
        taken = 0
        try:
            for transaction in transactions:
                if loop.stopping.is_set():
                    break
                goes_on()
                with Session(self._database) as session:  # one at a time: each may have tens of thousands of references
                    record = session.get(CommitmentRow, transaction)
                if record is None:
                    continue
                answer = away
                if peer and address and not away:
                    outcome = self.result(record)  # first: it may take longer than a peer waits on an association
                    try:
                        if association is None or not association.is_established:
                            association = self._associate(peer, address)
                        answer = _send(association, outcome)
                    except PeerUnavailable as error:
                        answer = away = str(error)
                self._settle(record, answer)
                taken += not answer
        finally:
            if association is not None:
                leave(association)
        return taken

    def result_of(self, transaction_uid: str) -> Outcome:
        """What is to be reported on a request that has just been stored."""
        with Session(self._database) as session:
            record = session.get_one(CommitmentRow, transaction_uid)
        return self.result(record)

    def reported(self, transaction_uid: str, status: int) -> None:
        """A peer answered a report on the association that it had asked on."""
        with Session(self._database) as session:
            record = session.get(CommitmentRow, transaction_uid)
        if record is not None:
            self._settle(record, "" if status == SUCCESS else f"The peer answered 0x{status:04X}")

    def result(self, record: CommitmentRow) -> Outcome:
        """What is to be reported on a request, after making what is there safe.

        It is found out once and then holds, however often the report has to be sent, until the peer asks again.
        """
        key = record.transaction_uid, record.created
        references = [(sop_class, uid) for sop_class, uid in record.references]
        with self._remembering:
            failed = self._outcomes.get(key)
        if failed is None:
            failed = self._failures(references)  # outside of the lock: on a slow disk it takes minutes
            with self._remembering:
                self._outcomes[key] = failed
                while len(self._outcomes) > 1 and sum(1 + len(one) for one in self._outcomes.values()) > REMEMBERED:
                    del self._outcomes[next(iter(self._outcomes))]  # the oldest
        kept = [reference for reference in references if reference not in failed]
        return Outcome(record.transaction_uid, kept, [(*reference, reason) for reference, reason in failed.items()])

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

    def _address(self, name: str) -> tuple[str, int] | None:
        """Where a peer takes reports."""
        peer = self._peers.get(name)
        return (peer.host, peer.port) if peer is not None and peer.host and peer.port else None

    def _associate(self, peer: Peer, address: tuple[str, int]) -> Association:
        """An association for reports to a peer.

        Raises
        ------
        PeerUnavailable
            With what is written down of each report that it does not get.
        """
        try:
            # asked first, because pynetdicom leaves its socket open where nobody listens
            socket.create_connection(address, CONNECT_S).close()
            tls = (client_context(peer.tls), address[0]) if peer.tls else None
        except (OSError, ConfigurationError) as error:
            raise PeerUnavailable("The peer cannot be reached") from error
        ae = AE(ae_title=self._ae_title)
        ae.acse_timeout = ae.network_timeout = ANSWER_S
        ae.connection_timeout = CONNECT_S
        ae.add_requested_context(StorageCommitmentPushModel)
        association = ae.associate(
            *address,
            ae_title=peer.ae_title,
            ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
            tls_args=tls,
            evt_handlers=self._associations.handlers(),
        )
        if not association.is_established:
            refused = "The peer refused the association" if association.is_rejected else "The peer cannot be reached"
            raise PeerUnavailable(refused)
        return association

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
                pause = timedelta(seconds=growing_pause_s(record.attempts + 1, FIRST_RETRY_S, LONGEST_RETRY_S))
                direction = CommitmentDirection.IN
                commitments.wait(session, direction, record.transaction_uid, now + pause, answer=answer)
        log.info(
            "commitment report",
            extra={"transaction_uid": record.transaction_uid, "peer": record.peer, "state": state, "answer": answer},
        )


def _send(association: Association, outcome: Outcome) -> str:
    """Report to a peer; what went wrong, or nothing."""
    association.dimse_timeout = ANSWER_S + outcome.count / REFERENCES_A_SECOND
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
    code = status.get("Status")
    return "" if code == SUCCESS else "The peer did not answer" if code is None else f"The peer answered 0x{code:04X}"
