"""Storage commitment as its provider (PS3.4 J): a request is stored, and its report is sent until the peer accepts it.

"Committed" is reported of an instance that is under its final name and flushed to the disk, file and folder, whatever
the durability of reception is. The report goes to the address that the configuration has for the peer, on an
association of its own: most requesters have closed theirs by then. A peer without an address there gets it on the
association that it asked on (by the fast server). Reports on what the node itself asked an archive to commit come in
here too, and are left in the same table for the sender.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModelInstance
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from node.background import Loop
from node.config import Peer
from node.database import commitments
from node.database.connection import Database
from node.database.states import CommitmentDirection, CommitmentState, ForbiddenTransition
from node.database.tables import CommitmentRow
from node.errors import ConfigurationError
from node.network.requestor import no_delay
from node.network.sop_classes import StorageCommitmentPushModel
from node.network.tls import client_context
from node.receive.status import NotStored
from node.receive.store.header import is_uid
from node.receive.store.locks import LeaderLock
from node.receive.store.part10 import read_meta
from node.receive.store.store import Store

log = logging.getLogger(__name__)

SUCCESS, PROCESSING_FAILURE, INVALID_ARGUMENT, DUPLICATE_TRANSACTION = 0x0000, 0x0110, 0x0115, 0x0131
NO_SUCH_INSTANCE, CLASS_INSTANCE_CONFLICT = 0x0112, 0x0119  # PS3.3 C.14.1.1
ALL_COMMITTED, SOME_FAILED = 1, 2  # event types, PS3.4 J.3.3.1

MAXIMUM_REFERENCES = 50_000
POLL_S = 1.0
AT_ONCE = 100  # reports that are sent before the database is asked again
CONNECT_S = 10.0
FIRST_RETRY_S, LONGEST_RETRY_S = 5.0, 3600.0
GIVE_UP_AFTER = timedelta(days=7)


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

    def request(self, peer: str, information: Dataset) -> int:
        """Store a request; the status of its N-ACTION. A request that comes again is reported again."""
        transaction = str(information.get("TransactionUID", ""))
        references = [
            [str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", ""))]
            for item in information.get("ReferencedSOPSequence", None) or ()
        ]
        if not is_uid(transaction) or not references or len(references) > MAXIMUM_REFERENCES:
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
                else:
                    commitments.begin(session, transaction, CommitmentDirection.IN, peer, references, now)
        except SQLAlchemyError as error:
            # the same transaction twice at once, or a database that is down: the peer asks again
            log.error("commitment request not stored", extra={"peer": peer, "error": type(error).__name__})
            return DUPLICATE_TRANSACTION if isinstance(error, IntegrityError) else PROCESSING_FAILURE
        log.info("commitment requested", extra={"peer": peer, "transaction_uid": transaction, "count": len(references)})
        self._loop.wake()
        return SUCCESS

    def take_report(self, calling: str, event_type: int, information: Dataset) -> int:
        """Store an archive's report on what we asked for: `answer` holds the failure reason of each failed instance.

        Parameters
        ----------
        calling
            AE title of the archive.
        event_type
            1: all committed, 2: some failed (PS3.4 J.3.3.1).
        information
            The data set of the N-EVENT-REPORT.
        """
        transaction = str(information.get("TransactionUID", ""))
        if not is_uid(transaction):
            return INVALID_ARGUMENT
        try:
            with Session(self._database) as session, session.begin():
                commitments.note_report(session, transaction, commitments.Report.read(information, event_type))
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
            due = session.scalars(commitments.due(CommitmentDirection.IN, self._clock()).limit(AT_ONCE)).all()
            session.expunge_all()
        taken = 0
        for record in due:
            if self._loop.stopping.is_set():
                break
            event_type, information = self.result(record.transaction_uid, record.references)
            answer = self._send(record.peer, event_type, information)
            self._settle(record, answer)
            taken += not answer
        return taken

    def result_of(self, transaction_uid: str) -> tuple[int, Dataset]:
        """Event type and information of the report on a request that has just been stored."""
        with Session(self._database) as session:
            record = session.get_one(CommitmentRow, transaction_uid)
        return self.result(transaction_uid, record.references)

    def reported(self, transaction_uid: str, status: int) -> None:
        """A peer answered a report on the association that it had asked on."""
        with Session(self._database) as session:
            record = session.get(CommitmentRow, transaction_uid)
        if record is not None:
            self._settle(record, "" if status == SUCCESS else f"The peer answered 0x{status:04X}")

    def result(self, transaction_uid: str, references: list[Any]) -> tuple[int, Dataset]:
        """Event type and information of a report, after making what is there safe."""
        committed, failed = [], []
        for sop_class_uid, sop_instance_uid in references:
            item = Dataset()
            item.ReferencedSOPClassUID = sop_class_uid
            item.ReferencedSOPInstanceUID = sop_instance_uid
            reason = self._check(sop_class_uid, sop_instance_uid)
            if reason:
                item.FailureReason = reason
                failed.append(item)
            else:
                committed.append(item)
        information = Dataset()
        information.TransactionUID = transaction_uid
        if committed:
            information.ReferencedSOPSequence = Sequence(committed)
        if failed:
            information.FailedSOPSequence = Sequence(failed)
        return (SOME_FAILED if failed else ALL_COMMITTED), information

    def _check(self, sop_class_uid: str, sop_instance_uid: str) -> int:
        if self._store.is_taken(sop_instance_uid):
            return PROCESSING_FAILURE  # of two instances under that UID one was refused, and its sender must keep it
        path = self._store.find(sop_instance_uid)
        if path is None:
            return NO_SUCH_INSTANCE
        try:
            with path.open("rb") as file:
                if read_meta(file).sop_class_uid != sop_class_uid:
                    return CLASS_INSTANCE_CONFLICT
            return SUCCESS if self._store.make_safe(sop_instance_uid) else NO_SUCH_INSTANCE
        except (OSError, NotStored):
            return PROCESSING_FAILURE

    def _send(self, name: str, event_type: int, information: Dataset) -> str:
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
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 30
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
            status, _ = association.send_n_event_report(
                information, event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
        except (ValueError, RuntimeError):
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
