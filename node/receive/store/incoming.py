"""What is on its way into the store: an association, and the instance that it sends at the moment."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable

from node.database.states import AssociationOutcome
from node.receive.status import NotStored, Status
from node.receive.store.header import Header, is_uid, read_header
from node.receive.store.instance_files import InstanceFiles, Receipt
from node.receive.store.part10 import file_meta
from node.receive.store.receipt_log import Closed, Noted, ReceiptLog, new_association_id
from node.receive.store.refusals import Instance, Kind, Refusals

log = logging.getLogger(__name__)


class TooLarge(NotStored):
    """The instance is larger than the configuration allows, or endless."""


class Arrival:
    """One association, STOW request, import or feed, while instances come in by it; made by `Store.open`.

    Parameters
    ----------
    receipts
        Where its end is recorded.
    refusals
        Count what is not stored.
    clock
        Seconds since the epoch.
    way
        ``dimse``, ``stow``, ``folder``, ``import``, ``orthanc`` or ``fetch``.
    calling_ae_title, called_ae_title, peer_address
        Of the sender; empty where there is none.
    """

    def __init__(
        self,
        receipts: ReceiptLog,
        refusals: Refusals,
        clock: Callable[[], float],
        way: str,
        calling_ae_title: str,
        called_ae_title: str,
        peer_address: str,
    ) -> None:
        self.id = new_association_id(receipts)
        self.way = way
        self.calling_ae_title = calling_ae_title
        self.at_hand = ""  # where what is read stands in what was sent: its name where its UID cannot be read
        self._sender = (way, calling_ae_title, called_ae_title, peer_address)
        self.stored = 0
        self.failed = 0
        self.metas_replaced = 0  # instances whose file meta contradicted their data set
        self._first_replaced = ""  # SOP Instance UID
        self.disk_was_low = False  # then everything else of this association is refused as well
        self._receipts, self._refusals, self._clock = receipts, refusals, clock
        self._ended = False

    def failure(self, sop_instance_uid: str, error: NotStored) -> None:
        """Record that an instance was not stored (`node.receive.store.refusals` counts them).

        Parameters
        ----------
        sop_instance_uid
            As its sender has it; what is no UID is not repeated.
        error
            Why.
        """
        self.failed += 1
        kind = Kind(*self._sender, error.reason, int(error.status), error.study_instance_uid)
        name = sop_instance_uid if is_uid(sop_instance_uid) else self.at_hand
        instance = Instance(self.id, name, error.series_instance_uid)
        self._refusals.add(kind, self._clock(), instance)

    def meta_replaced(self, sop_instance_uid: str) -> None:
        """Count an instance that was stored with another file meta than it came with; told at the end."""
        self.metas_replaced += 1
        self._first_replaced = self._first_replaced or sop_instance_uid

    def note(self, what: str, **detail: object) -> None:
        """Put something into the audit trail, and into the log."""
        detail["association"] = self.id
        self._receipts.record(Noted(self._clock(), what, "", detail))
        log.info(what, extra=detail)

    def close(self, outcome: AssociationOutcome, reason: str = "") -> None:
        """Record the end; a second call changes nothing, and a full disk does not make it fail."""
        if self._ended:
            return
        self._ended = True
        if self.metas_replaced:
            self.note("file meta replaced", instances=self.metas_replaced, first=self._first_replaced)
        entry = Closed(self.id, self._clock(), outcome, reason, self.stored, self.failed)
        self._receipts.record(entry)
        if self.failed:
            self._refusals.write(self._clock())
        log.info(
            "association ended",
            extra={"association": self.id, "outcome": outcome, "stored": self.stored, "failed": self.failed},
        )


class Incoming:
    """One instance while its bytes arrive: `write` them, then `commit` or `discard`; made by `Store.begin`.

    After `write` has raised, the rest of the data may still be written: it is dropped, and `commit` raises the same.

    Parameters
    ----------
    files
        Where the instance will be.
    arrival
        The association that it comes by.
    command
        SOP Class UID, SOP Instance UID and transfer syntax UID, as the command and its context have them.
    """

    def __init__(self, files: InstanceFiles, arrival: Arrival, command: tuple[str, str, str]) -> None:
        self.sop_class_uid, self.sop_instance_uid, self.transfer_syntax_uid = command
        self.size = 0  # bytes of the data set so far
        self._files = files
        self._arrival = arrival
        self._header: Header | None = None
        self._problem: NotStored | None = None
        self._prefix = b""
        self._prefix_size = 0
        self._name = ""
        self._fd = -1
        try:
            if not is_uid(self.sop_instance_uid):
                raise NotStored(Status.INVALID_INSTANCE, "Affected SOP Instance UID is not a UID")
            files.require_room(arrival)
            self._prefix = file_meta(*command, arrival.calling_ae_title)
            self._prefix_size = len(self._prefix)
            self._name, self._fd = files.partial()
        except NotStored as error:
            self._problem = error

    def write(self, *parts: bytes | memoryview) -> None:
        """Append to the data set, with one system call.

        Raises
        ------
        TooLarge
            When the configured size is passed: nothing more should be read from the sender.
        """
        self.size += sum(map(len, parts))
        if self.size > self._files.maximum_bytes:
            too_large = TooLarge(Status.OUT_OF_RESOURCES, "The instance is larger than the node accepts")
            self._fail(too_large)
            raise too_large
        if self._problem is not None:
            return
        try:
            if self._prefix:
                self._header = read_header(parts[0], self.transfer_syntax_uid, whole=False)
                self._files.write(self._fd, self._arrival, self._prefix, *parts)
                self._prefix = b""
            else:
                self._files.write(self._fd, self._arrival, *parts)
        except NotStored as error:
            self._fail(error)

    def commit(self) -> Receipt:
        """Make the instance durable under its final name and write its receipt.

        Raises
        ------
        NotStored
            With the status for the sender; nothing of the instance is left on disk.
        """
        try:
            if self._problem is not None:
                raise self._problem
            header = self._header or self._read_header()
            if header.sop_instance_uid != self.sop_instance_uid:
                raise NotStored(Status.DOES_NOT_MATCH, "SOP Instance UID differs between command and data set")
            if header.sop_class_uid != self.sop_class_uid:
                raise NotStored(Status.DOES_NOT_MATCH, "SOP Class UID differs between command and data set")
            fd, self._fd = self._fd, -1
            return self._files.place(
                self._name,
                fd,
                self._prefix_size + self.size,
                self._prefix_size,
                header,
                self.transfer_syntax_uid,
                self._arrival,
            )
        except NotStored as error:
            self._fail(error)
            self._arrival.failure(self.sop_instance_uid, error)
            raise

    def refuse(self, error: NotStored) -> None:
        """Make `commit` raise `error`, unless something else was wrong before."""
        if self._problem is None:
            self._fail(error)

    def discard(self) -> None:
        """Drop what has arrived: the association ended in the middle."""
        self._fail(NotStored(Status.PROCESSING_FAILURE, "The association ended before the instance did"))

    def _read_header(self) -> Header:
        if not self.size:
            raise NotStored(Status.CANNOT_UNDERSTAND, "The data set is empty")
        start = os.fstat(self._fd).st_size - self.size
        return self._files.header_of(self._files.spool / self._name, start, self.transfer_syntax_uid)

    def _fail(self, error: NotStored) -> None:
        self._problem = error
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):  # a share says only now that it is full
                os.close(fd)
        if self._name:
            self._files.drop(self._name)
            self._name = ""
