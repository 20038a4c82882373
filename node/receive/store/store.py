"""The one way in: whatever brings instances opens an arrival here and gets the same promise.

C-STORE, STOW-RS, imports, watched folders and Orthanc feeds all come through here: when `Incoming.commit` or
`Store.adopt` has returned, the instance survives the killing of this process (durability `process`) or a power cut
(durability `power`).
"""

from __future__ import annotations

import logging
import os
from typing import BinaryIO

from node.config import Configuration
from node.database.connection import Database
from node.files import COPY_BYTES
from node.receive.status import NotStored, Status
from node.receive.store.header import Header, is_uid
from node.receive.store.incoming import Arrival, Incoming
from node.receive.store.instance_files import InstanceFiles, Receipt
from node.receive.store.own_results import OwnResults
from node.receive.store.part10 import PREAMBLE, Meta, file_meta, read_meta
from node.receive.store.receipt_log import Opened
from node.receive.store.refusals import CONTEXTS, Kind

log = logging.getLogger(__name__)


class Store(InstanceFiles):
    """The instances on disk, and the ways in; the parameters are those of `InstanceFiles`."""

    @classmethod
    def of(cls, configuration: Configuration, database: Database) -> Store:
        """The store of a node; results of its own that come back are found in the database."""
        receive, data = configuration.receive, configuration.node.data
        return cls(
            data,
            receive.durability,
            receive.disk_floor_mb * 2**20,
            receive.dimse.maximum_instance_bytes,
            own_results=OwnResults(database, data),
        )

    def open(
        self,
        way: str,
        calling_ae_title: str = "",
        called_ae_title: str = "",
        peer_address: str = "",
        contexts_refused: str = "",
    ) -> Arrival:
        """Record an accepted association, or its like by another way in.

        Parameters
        ----------
        way
            ``dimse``, ``stow``, ``folder``, ``import``, ``orthanc`` or ``fetch``.
        calling_ae_title, called_ae_title
            Of the association; empty where there is none.
        peer_address
            IP address, or name of what the instances come from.
        contexts_refused
            Which of the presentation contexts that it proposed are not accepted, and why.
        """
        calling_ae_title, called_ae_title = _printable(calling_ae_title), _printable(called_ae_title)
        arrival = Arrival(
            self.receipts, self.refusals, self.clock, way, calling_ae_title, called_ae_title, peer_address
        )
        now = self.clock()
        self.receipts.record(
            Opened(arrival.id, way, calling_ae_title, called_ae_title, peer_address, now, contexts_refused)
        )
        facts = {"association": arrival.id, "way": way, "calling": calling_ae_title, "address": peer_address}
        log.info("association accepted", extra=facts)
        if contexts_refused:
            kind = Kind(CONTEXTS, calling_ae_title, called_ae_title, peer_address, contexts_refused)
            self.refusals.add(kind, now)
        return arrival

    def refuse(self, way: str, calling_ae_title: str, called_ae_title: str, peer_address: str, reason: str) -> None:
        """Record that an association, or a message on it, was refused (`node.receive.store.refusals` counts them).

        Parameters
        ----------
        way
            ``dimse``, ``stow``, or `refusals.COMMITMENT`.
        calling_ae_title, called_ae_title, peer_address
            As for `open`.
        reason
            For the record.
        """
        calling_ae_title, called_ae_title = _printable(calling_ae_title), _printable(called_ae_title)
        self.refusals.add(Kind(way, calling_ae_title, called_ae_title, peer_address, reason), self.clock())

    def write_refusals(self) -> None:
        """Write what has been counted since, and what waits for room on the disk; to be called now and then.

        Raises
        ------
        OSError
            If the disk does not take it; it is kept.
        """
        self.refusals.write(self.clock())
        self.receipts.catch_up()

    def begin(self, arrival: Arrival, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> Incoming:
        """Start one instance. What is wrong with it comes out at `commit`, when the sender listens.

        Parameters
        ----------
        arrival
            The association.
        sop_class_uid, sop_instance_uid
            Of the command.
        transfer_syntax_uid
            Of the presentation context.
        """
        return Incoming(self, arrival, (sop_class_uid, sop_instance_uid, transfer_syntax_uid))

    def adopt(
        self, arrival: Arrival, name: str, study_instance_uid: str | None = None, transfer_syntax_uid: str = ""
    ) -> Receipt:
        """Take a whole DICOM file that lies in the spool as `partial` named it.

        A Part 10 file is stored as it is, byte for byte; a bare data set gets preamble and file meta. A file meta that
        names another instance or class than the data set (common on media that were de-identified) is replaced by one
        that names the data set's, and `arrival` notes that. Where `study_instance_uid` is given, it must be of that
        study.

        Parameters
        ----------
        arrival
            What it came by.
        name
            Of the partial.
        study_instance_uid
            The study that it must belong to; None: any.
        transfer_syntax_uid
            What the sender says that it is written in; it counts where the file itself does not say.

        Raises
        ------
        NotStored
            With the reason; the partial is gone then.
        """
        header = None
        try:
            with (self.spool / name).open("rb") as file:
                meta = read_meta(file, transfer_syntax_uid)
                header = self.header_of(self.spool / name, meta.length, meta.transfer_syntax_uid)
                if study_instance_uid not in (None, header.study_instance_uid):
                    raise NotStored(Status.DOES_NOT_MATCH, "The instance belongs to another study")
                file.seek(PREAMBLE)
                begin = meta.length
                contradicts = _contradicts(header, meta)
                if contradicts or file.read(4) != b"DICM":
                    name, begin = self._with_own_meta(name, file, meta, header, arrival)
            fd = os.open(self.spool / name, os.O_RDONLY)
            receipt = self.place(name, fd, os.fstat(fd).st_size, begin, header, meta.transfer_syntax_uid, arrival)
            if contradicts:
                arrival.meta_replaced(header.sop_instance_uid)
            return receipt
        except OSError as error:
            problem = self.trouble(error, arrival)
        except NotStored as error:
            problem = error
        self.drop(name)
        if header is not None and is_uid(header.sop_instance_uid) and is_uid(header.sop_class_uid):
            problem.sop_class_uid, problem.sop_instance_uid = header.sop_class_uid, header.sop_instance_uid
        arrival.failure(problem.sop_instance_uid, problem)
        raise problem

    def _with_own_meta(
        self, name: str, file: BinaryIO, meta: Meta, header: Header, arrival: Arrival
    ) -> tuple[str, int]:
        """A new partial that holds the data set of `name` behind preamble and file meta; the old one is dropped.

        Returns its name and where its data set begins.
        """
        new, fd = self.partial()
        try:
            prefix = file_meta(
                header.sop_class_uid, header.sop_instance_uid, meta.transfer_syntax_uid, arrival.calling_ae_title
            )
            file.seek(meta.length)
            self.write(fd, arrival, prefix)
            while part := file.read(COPY_BYTES):
                self.write(fd, arrival, part)
        except (NotStored, OSError):
            self.drop(new)
            raise
        finally:
            os.close(fd)
        self.drop(name)
        return new, len(prefix)


def _printable(text: str) -> str:
    """What a peer says of itself, fit for a log line: control characters become question marks."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _contradicts(header: Header, meta: Meta) -> bool:
    """Whether the file meta names another instance or class than its data set, which is what counts."""
    return meta.sop_instance_uid not in ("", header.sop_instance_uid) or meta.sop_class_uid not in (
        "",
        header.sop_class_uid,
    )
