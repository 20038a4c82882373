"""Receipts as an append-only file per process: written before a sender hears of success, read by the receipt import.

A receipt must be on disk before the answer goes out, and a database transaction for each instance costs more than
receiving it. So a process appends one line per event with one system call; `node.receive.store.receipt_import` brings
the lines into the database in batches, and after a crash brings in what the dead process left. The lock on the file
says whether its process lives. A database that is down delays the records, not the reception.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from node.files import PRIVATE_FILE, flush, make_folder

MAXIMUM_SEGMENT = 4 * 2**20  # bytes, some 10,000 receipts; then a new file, so that old ones can go


class Opened(NamedTuple):
    """An association (or STOW request, import, feed) was accepted."""

    association_id: str
    way: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    at: float
    contexts_refused: str = ""  # which presentation contexts, and why


class Refused(NamedTuple):
    """Associations were refused, with the reason: so many within the hour, of one peer for one reason.

    The entries of one `association_id` follow one another with growing counts.
    """

    association_id: str
    way: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    at: float  # the first
    reason: str
    times: int = 1
    last: float = 0.0  # 0: there is one


class Stored(NamedTuple):
    """The receipt of an instance that is on disk under its final name."""

    association_id: str
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    transfer_syntax_uid: str
    path: str
    size: int
    at: float
    fsynced: bool
    expected: int | None
    changed: bool = False  # it replaced an instance of the same UID with another data set
    made_by_us: bool = False
    patient: str = ""  # a mark, as `node.study.patients` makes it


class Failed(NamedTuple):
    """Instances were not stored, and their sender got the same status: so many within the hour, for one reason.

    The entries of one `key` follow one another with growing counts.
    """

    association_id: str  # of the first
    sop_instance_uid: str  # of the first, or where it stood in what was sent
    status: int
    reason: str
    at: float  # the first
    study_instance_uid: str = ""  # where that much could be read
    series_instance_uid: str = ""
    key: str = ""  # empty: of an earlier version, which wrote an entry for each
    sender: str = ""
    times: int = 1
    last: float = 0.0  # 0: there is one
    named: str = ""  # the first few, each as `sop_instance_uid`


class CameBack(NamedTuple):
    """An object that the node made was sent to it; its job's folder has it, and it is not stored once more."""

    association_id: str
    sop_instance_uid: str
    at: float


class Closed(NamedTuple):
    """An association ended; its totals are final."""

    association_id: str
    at: float
    outcome: str
    reason: str
    stored: int
    failed: int


class Synced(NamedTuple):
    """An instance that was stored is now safe from a power cut too."""

    sop_instance_uid: str
    at: float = 0.0  # when the flushing began: what came later under that UID is not meant


class Noted(NamedTuple):
    """Something an operator should find in the audit trail."""

    at: float
    what: str
    who: str
    detail: dict[str, Any]


class Finished(NamedTuple):
    """The last line of a segment whose process goes on in a new one, or has stopped in order."""


Entry = Opened | Refused | Stored | Failed | CameBack | Closed | Synced | Noted | Finished
_KINDS: dict[str, type[Entry]] = {
    kind.__name__: kind for kind in (Opened, Refused, Stored, Failed, CameBack, Closed, Synced, Noted, Finished)
}
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False).encode


def encode(entry: Entry) -> bytes:
    """One line: CRC-32 of the rest, then the entry. A line that a crash cut short does not pass."""
    text = _encode([type(entry).__name__, *entry]).encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(text), text)


def decode(line: bytes) -> Entry | None:
    """The entry of a line, or None where it was cut short or is none of ours."""
    if line[8:9] != b" " or b"%08x" % zlib.crc32(line[9:]) != line[:8]:
        return None
    kind, *values = json.loads(line[9:])
    entry_type = _KINDS.get(kind)
    return entry_type(*values) if entry_type else None


def decode_all(data: bytes) -> Iterator[Entry]:
    """The entries of whole lines in `data`."""
    for line in data.splitlines():
        entry = decode(line)
        if entry is not None:
            yield entry


class ReceiptLog:
    """The receipts of one process. Safe to use from its threads; not to be inherited by a fork.

    Parameters
    ----------
    folder
        Where the logs of all processes of the node lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = uuid4().hex[:12]  # begins the names of this process's segments, partials and associations
        self._lock = threading.Lock()
        self._number = 0
        self._size = 0
        make_folder(folder)
        self._fd = self._open()

    def append(self, entry: Entry) -> None:
        """Write one entry. When this returns, killing the process does not lose it."""
        line = encode(entry)
        with self._lock:
            os.write(self._fd, line)
            self._size += len(line)
            if self._size > MAXIMUM_SEGMENT:
                os.write(self._fd, encode(Finished()))
                os.fsync(self._fd)  # once per 10,000 receipts: a later `sync` no longer reaches this segment
                os.close(self._fd)
                self._number += 1
                self._fd = self._open()

    def sync(self) -> None:
        """Everything appended so far survives a power cut once this returns."""
        with self._lock:
            fd = os.dup(self._fd)  # a rotation meanwhile may close the original; it syncs before it does
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """End in order: what is open stays as it is, and the receipt import may remove the file when it has read it."""
        with self._lock:
            if self._fd >= 0:
                os.write(self._fd, encode(Finished()))
                os.fsync(self._fd)
                os.close(self._fd)
                self._fd = -1

    def _open(self) -> int:
        path = self.folder / f"{self.process}-{self._number:06d}.journal"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, PRIVATE_FILE)
        fcntl.flock(fd, fcntl.LOCK_EX)
        flush(self.folder)
        self._size = 0
        return fd


def new_association_id(receipts: ReceiptLog) -> str:
    """An identifier that begins with that of the process, so that its death closes what it had open."""
    return f"{receipts.process}-{uuid4().hex[:23]}"


def is_abandoned(segment: Path) -> bool:
    """Whether the process that wrote `segment` is gone: nobody holds its lock."""
    try:
        fd = os.open(segment, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
