"""Receipts as an append-only file per process: written before a sender hears of success, read by the receipt import.

A receipt must be on disk before the answer goes out, and a database transaction for each instance costs more than
receiving it. So a process appends one line per event with one system call; `node.receive.store.receipt_import` brings
the lines into the database in batches, and after a crash brings in what the dead process left. The lock on the file
says whether its process lives. A database that is down delays the records, not the reception.

Room for a segment is kept from its beginning, where the file system can, so that a full disk is on record too. What the
disk takes in part is cut off again, and where that fails, the next entry begins on a line of its own. What nobody waits
for, such as the end of an association, is kept in memory until there is room.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from node.files import PRIVATE_FILE, flush, make_folder, reserve, write_all

log = logging.getLogger(__name__)

MAXIMUM_SEGMENT = 4 * 2**20  # bytes, some 10,000 receipts; then a new file, so that old ones can go
LONGEST_LINE = 128 * 1024  # bytes; whoever reads them takes twice as many at a time
LONGEST_TEXT = 1000  # characters that are left of a text where its line would be longer
MAXIMUM_WAITING = 10_000  # entries that wait for room on the disk; of what comes after them only the number is kept


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
    turn: int = 0  # the one with the latest is of the file that is there; 0: of an earlier version
    accession: str | None = None  # a keyed digest; empty: the image states none; None: of an earlier version


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


def _line(entry: Entry) -> bytes:
    """The line of an entry, which is never longer than `LONGEST_LINE`: its texts are cut where it would be."""
    line = encode(entry)
    if len(line) <= LONGEST_LINE:
        return line
    log.error("a record is too long and is cut", extra={"kind": type(entry).__name__, "bytes": len(line)})
    return encode(type(entry)(*map(_cut, entry)))


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {"cut": _cut(_encode(value))}
    is_long = isinstance(value, str) and len(value) > LONGEST_TEXT
    return f"{value[:LONGEST_TEXT]}…" if is_long else value


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
        self._size = 0  # of what was written whole
        self._torn = False  # a part of a line stands behind that, and cannot be cut off
        self._waiting: deque[bytes] = deque()  # lines
        self._left_out = 0  # that did not even find a place there
        make_folder(folder)
        self._fd = self._open(self._path(0))

    def append(self, entry: Entry) -> None:
        """Write one entry. When this returns, killing the process does not lose it.

        Raises
        ------
        OSError
            If the disk does not take all of it: then it is not on record, and nobody may be told that it is.
        """
        line = _line(entry)
        with self._lock:
            self._write_waiting()
            self._write(line)

    def record(self, entry: Entry) -> None:
        """Write one entry that nobody is answered on. It never fails: what the disk does not take waits for room.

        It is written before any that comes later, and lost only if the process ends before that.
        """
        line = _line(entry)
        with self._lock:
            try:
                self._write_waiting()
                self._write(line)
            except OSError as error:
                if not self._waiting:
                    cause = errno.errorcode.get(error.errno or 0, "unknown")
                    log.error("records wait for the disk", extra={"error": cause})
                if len(self._waiting) < MAXIMUM_WAITING:
                    self._waiting.append(line)
                else:
                    self._left_out += 1

    def catch_up(self) -> None:
        """Write what waits; to be called now and then.

        Raises
        ------
        OSError
            If the disk still does not take it.
        """
        with self._lock:
            self._write_waiting()

    def sync(self) -> None:
        """Everything appended so far survives a power cut once this returns."""
        with self._lock:
            fd = os.dup(self._fd)  # a rotation meanwhile may close the original; it syncs before it does
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """End in order: what is open stays as it is, and the receipt import may remove the file when it has read it.

        On a full disk it is as if the process had died: the import ends what is open.
        """
        with self._lock:
            if self._fd < 0:
                return
            try:
                self._write_waiting()
                self._write_line(encode(Finished()))
                os.fsync(self._fd)
            except OSError as error:
                facts = {"error": errno.errorcode.get(error.errno or 0, "unknown")}
                log.error("records end early", extra={**facts, "lost": len(self._waiting) + self._left_out})
            finally:
                os.close(self._fd)
                self._fd = -1

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        count = 0
        while self._waiting:
            self._write(self._waiting[0])
            self._waiting.popleft()
            count += 1
        log.warning("records are written again", extra={"written": count, "lost": self._left_out})
        self._left_out = 0

    def _write(self, line: bytes) -> None:
        self._write_line(line)
        if self._size > MAXIMUM_SEGMENT:
            self._begin_segment()

    def _write_line(self, line: bytes) -> None:
        if self._torn:
            line = b"\n" + line
        try:
            write_all(self._fd, line)
        except OSError:
            self._torn = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
                self._torn = False
            raise
        self._size = os.fstat(self._fd).st_size if self._torn else self._size + len(line)
        self._torn = False

    def _begin_segment(self) -> None:
        """Go on in a new segment; where the disk does not let it, in this one, until it does."""
        path = self._path(self._number + 1)
        with contextlib.suppress(OSError), contextlib.ExitStack() as undo:
            undo.callback(path.unlink, missing_ok=True)
            fd = self._open(path)
            undo.callback(os.close, fd)
            os.fsync(self._fd)  # once per 10,000 receipts: a later `sync` no longer reaches this segment
            self._write_line(encode(Finished()))  # after that nothing may follow here
            undo.pop_all()
            full, self._fd, self._number, self._size = self._fd, fd, self._number + 1, 0
            os.close(full)

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.process}-{number:06d}.journal"

    def _open(self, path: Path) -> int:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, PRIVATE_FILE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            reserve(fd, MAXIMUM_SEGMENT)
            flush(self.folder)
        except OSError:
            os.close(fd)
            raise
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
