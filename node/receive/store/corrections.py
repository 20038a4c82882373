"""Records of instances that are not about the files that lie there are corrected.

An earlier version could record of two that sent an instance at the same time the one and keep the file of the other; a
power cut can keep a file and lose its receipt. The file is what was sent and acknowledged: where it is whole and the
same instance, it gets a new receipt, and what was decided without it is decided again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.tables import InstanceRow
from node.errors import NodeError
from node.reading import Reader
from node.receive.status import NotStored, Status
from node.receive.store.header import DEFLATED, FileBytes, ends_early
from node.receive.store.instance_files import TURNS, InstanceFiles, digest_in, relative_path
from node.receive.store.locks import Turns
from node.receive.store.part10 import read_meta
from node.receive.store.receipt_log import Noted, ReceiptLog, Stored
from node.study.patients import Person, accession_digest, marking_key

log = logging.getLogger(__name__)

CORRECTED = "records corrected to the files in the store"
ON_ITS_WAY_S = 10.0  # the receipt of a file that is younger may be read in a moment
NAMED = 5


class Corrections:
    """Corrects records, for whoever finds that an image is not as long as its record says.

    Parameters
    ----------
    data
        The node's data folder.
    reader
        Reads the files.
    clock
        Seconds since the epoch, as file times are.
    """

    def __init__(self, data: Path, database: Database, reader: Reader, clock: Callable[[], float] = time.time) -> None:
        self._instances, self._receipts = data.absolute() / "instances", data / "receipts"
        self._data, self._database, self._reader, self._clock = data, database, reader, clock

    def __call__(self, paths: Collection[Path]) -> int:
        """Give a new receipt to each file that is whole and another than was recorded; how many those were.

        What cannot be read or is no whole instance stays as it is. The receipts come into the database as all do.

        Parameters
        ----------
        paths
            Of the instances.
        """
        try:
            found = self._found(paths)
            return self._write(found) if found else 0
        except (SQLAlchemyError, OSError, NodeError) as error:  # whoever asks tries again
            log.warning("records cannot be corrected", extra={"error": type(error).__name__})
            return 0

    def _found(self, paths: Collection[Path]) -> list[tuple[Stored, os.stat_result]]:
        """Receipts for the files, and what told each of them from others when it was read."""
        key, found = marking_key(self._data), list[tuple[Stored, os.stat_result]]()
        relatives = {str(path.absolute().relative_to(self._instances)) for path in paths}
        with Session(self._database) as session:
            of_paths = [select(InstanceRow).where(InstanceRow.path.in_(chunk)) for chunk in in_chunks(relatives)]
            rows = [row for query in of_paths for row in session.scalars(query)]
        for row in rows:
            path = self._instances / row.path
            there = path.stat()
            if there.st_size == row.size or there.st_ctime > self._clock() - ON_ITS_WAY_S:
                continue
            entry = self._reader.call(whole_instance, path, row.path, row.association_id, key)
            known = (row.sop_instance_uid, row.series_instance_uid, row.study_instance_uid)
            if entry and known == (entry.sop_instance_uid, entry.series_instance_uid, entry.study_instance_uid):
                found.append((entry, there))
        return found

    def _write(self, found: Collection[tuple[Stored, os.stat_result]]) -> int:
        corrected = list[str]()
        with (
            contextlib.closing(ReceiptLog(self._receipts)) as receipts,
            contextlib.closing(Turns(self._receipts / TURNS)) as turns,
        ):
            for entry, before in found:
                with turns.of(digest_in(entry.path)) as turn:
                    if _same((self._instances / entry.path).stat(), before):  # else its receipt is written
                        receipts.append(entry._replace(at=self._clock(), changed=True, turn=turn))
                        corrected.append(entry.sop_instance_uid)
            if corrected:
                detail = {"count": len(corrected), "first": ", ".join(corrected[:NAMED])}
                receipts.append(Noted(self._clock(), CORRECTED, "", detail))
                log.warning(CORRECTED, extra=detail)
        return len(corrected)


def receipt_of(path: Path, relative: str, association_id: str, key: bytes) -> Stored:
    """The receipt of a file in the store, as if it came now.

    Parameters
    ----------
    path
        Where it lies.
    relative
        To the folder of instances.
    association_id
        What it came by.
    key
        Of the marks of patients.

    Raises
    ------
    NotStored
        If it is no instance, or not the one that its name is of.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        meta = read_meta(file)
        size = os.fstat(file.fileno()).st_size
    header = InstanceFiles.header_of(path, meta.length, meta.transfer_syntax_uid)
    if relative_path(header.sop_instance_uid) != relative:
        raise NotStored(Status.DOES_NOT_MATCH, "It is not the instance that its name is of")
    return Stored(
        association_id,
        header.sop_instance_uid,
        header.sop_class_uid,
        header.series_instance_uid,
        header.study_instance_uid,
        header.modality,
        meta.transfer_syntax_uid,
        relative,
        size,
        time.time(),
        fsynced=False,
        expected=header.expected,
        made_by_us=header.made_by_us,
        patient=Person.of(header.patient).marked(key),
        accession=accession_digest(header.accession_number, key),
    )


def whole_instance(path: Path, relative: str, association_id: str, key: bytes) -> Stored | None:
    """As `receipt_of`; None where it cannot be read, or may have been cut off: a reader runs it."""
    try:
        entry = receipt_of(path, relative, association_id, key)
        with path.open("rb") as file:
            data = FileBytes(file.fileno(), read_meta(file).length)
            if entry.transfer_syntax_uid in DEFLATED or ends_early(data, entry.transfer_syntax_uid):
                return None
    except (NotStored, OSError):
        return None
    return entry


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_size, one.st_mtime_ns) == (other.st_ino, other.st_size, other.st_mtime_ns)
