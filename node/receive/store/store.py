"""The one way in: a partial in the spool becomes an instance under its final name, with a receipt, or nothing.

    <data>/spool/<process>-<n>.part      being written
    <data>/instances/<hex>/<digest>.dcm  whole, named by the digest of its SOP Instance UID
    <data>/receipts/<process>-<n>.journal  what happened, until the recorder has brought it into the database

C-STORE, STOW-RS, imports, watched folders and Orthanc feeds all come through here and get the same promise: when
`commit` has returned, the instance survives the killing of this process (durability `process`) or a power cut
(durability `power`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import logging
import mmap
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple
from uuid import uuid4

from node.receive.status import NotStored, Status
from node.receive.store.header import Header, is_uid, read_header
from node.receive.store.part10 import PREAMBLE, Meta, file_meta, read_meta
from node.receive.store.receipt_log import (
    Closed,
    Failed,
    Journal,
    Noted,
    Opened,
    Refused,
    Stored,
    Synced,
    is_abandoned,
    sync_folder,
)

log = logging.getLogger(__name__)

Durability = Literal["process", "power"]
Outcome = Literal["released", "aborted", "lost", "cut"]

FREE_SPACE_CACHED_S = 0.2  # free space is looked at this often, not per instance
CHECK_SPACE_EVERY = 64 * 2**20  # bytes of one instance
COPY_BYTES = 2**20
SHARDS = "0123456789abcdef"  # folders under `instances/`: few enough that a group commit flushes few


class Receipt(NamedTuple):
    """What `commit` hands back."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    relative: str  # to the folder of instances


class TooLarge(NotStored):
    """The instance is larger than the configuration allows, or endless."""


class Arrival:
    """One association, STOW request, import or feed, while instances come in by it; made by `Store.open`."""

    def __init__(self, store: Store, way: str, calling_ae_title: str, peer_address: str) -> None:
        self.id = f"{store.process}-{uuid4().hex[:23]}"
        self.way = way
        self.calling_ae_title = calling_ae_title
        self.peer_address = peer_address
        self.stored = 0
        self.failed = 0
        self.disk_was_low = False  # then everything else of this association is refused as well
        self._store = store
        self._ended = False

    def failure(self, sop_instance_uid: str, error: NotStored) -> None:
        """Record that an instance was not stored."""
        self.failed += 1
        self._store.journal.append(
            Failed(self.id, sop_instance_uid, int(error.status), error.reason, self._store.clock())
        )
        log.warning(
            "instance not stored",
            extra={
                "association": self.id,
                "sop_instance_uid": sop_instance_uid,
                "status": f"0x{error.status:04X}",
                "reason": error.reason,
            },
        )

    def close(self, outcome: Outcome, reason: str = "") -> None:
        """Record the end; a second call changes nothing."""
        if self._ended:
            return
        self._ended = True
        entry = Closed(self.id, self._store.clock(), outcome, reason, self.stored, self.failed)
        self._store.journal.append(entry)
        log.info(
            "association ended",
            extra={"association": self.id, "outcome": outcome, "stored": self.stored, "failed": self.failed},
        )


class Incoming:
    """One instance while its bytes arrive: `write` them, then `commit` or `discard`; made by `Store.begin`.

    After `write` has raised, the rest of the data may still be written: it is dropped, and `commit` raises the same.
    """

    def __init__(self, store: Store, arrival: Arrival, command: tuple[str, str, str]) -> None:
        self.sop_class_uid, self.sop_instance_uid, self.transfer_syntax_uid = command
        self.size = 0  # bytes of the data set so far
        self._store = store
        self._arrival = arrival
        self._header: Header | None = None
        self._problem: NotStored | None = None
        self._next_check = CHECK_SPACE_EVERY
        self._prefix = b""
        self._prefix_size = 0
        self._name = ""
        self._fd = -1
        try:
            if not is_uid(self.sop_instance_uid):
                raise NotStored(Status.INVALID_INSTANCE, "Affected SOP Instance UID is not a UID")
            store.require_room(arrival)
            self._prefix = file_meta(*command, arrival.calling_ae_title)
            self._prefix_size = len(self._prefix)
            self._name, self._fd = store.partial()
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
        if self.size > self._store.maximum_bytes:
            too_large = TooLarge(Status.OUT_OF_RESOURCES, "The instance is larger than the node accepts")
            self._fail(too_large)
            raise too_large
        if self._problem is not None:
            return
        try:
            if self._prefix:
                self._header = read_header(parts[0], self.transfer_syntax_uid, whole=False)
                _write_all(self._fd, self._prefix, *parts)
                self._prefix = b""
            else:
                _write_all(self._fd, *parts)
            if self.size > self._next_check:
                self._next_check += CHECK_SPACE_EVERY
                self._store.require_room(self._arrival)
        except NotStored as error:
            self._fail(error)
        except OSError as error:
            self._fail(self._store.trouble(error, self._arrival))

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
            return self._store.place(
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
            self._arrival.failure(self.sop_instance_uid if is_uid(self.sop_instance_uid) else "", error)
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
        return self._store.header_of(self._store.spool / self._name, start, self.transfer_syntax_uid)

    def _fail(self, error: NotStored) -> None:
        self._problem = error
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._name:
            self._store.drop(self._name)
            self._name = ""


class Store:
    """The instances on disk, and their receipts.

    Parameters
    ----------
    data
        The node's data folder.
    durability
        What a success promises: surviving a killed process, or a power cut too.
    floor_bytes
        Free space under which nothing more is accepted.
    maximum_bytes
        Largest data set.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        data: Path,
        durability: Durability = "power",
        floor_bytes: int = 0,
        maximum_bytes: int = 4 * 2**30,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.instances = data / "instances"
        self.spool = data / "spool"
        self.durability = durability
        self.floor_bytes = floor_bytes
        self.maximum_bytes = maximum_bytes
        self.clock = clock
        self.spool.mkdir(parents=True, exist_ok=True)
        for shard in SHARDS:  # now: making one takes longer than storing an instance
            (self.instances / shard).mkdir(parents=True, exist_ok=True)
        sync_folder(self.instances)
        self._instances, self._spool = f"{self.instances}/", f"{self.spool}/"  # Path costs 5 us a name
        self.journal = Journal(data / "receipts")
        self.process = self.journal.process
        self._numbers = itertools.count()
        self._open_partials: set[str] = set()
        self._group_commit = _GroupCommit(self.journal)
        self._space_checked = float("-inf")
        self._free = 0
        self._was_low = False
        self.sweep()

    def open(self, way: str, calling_ae_title: str = "", called_ae_title: str = "", peer_address: str = "") -> Arrival:
        """Record an accepted association, or its like by another way in."""
        calling_ae_title, called_ae_title = _printable(calling_ae_title), _printable(called_ae_title)
        arrival = Arrival(self, way, calling_ae_title, peer_address)
        self.journal.append(Opened(arrival.id, way, calling_ae_title, called_ae_title, peer_address, self.clock()))
        log.info(
            "association accepted",
            extra={"association": arrival.id, "way": way, "calling": calling_ae_title, "address": peer_address},
        )
        return arrival

    def refuse(self, way: str, calling_ae_title: str, called_ae_title: str, peer_address: str, reason: str) -> None:
        """Record a refused association."""
        calling_ae_title, called_ae_title = _printable(calling_ae_title), _printable(called_ae_title)
        name = f"{self.process}-{uuid4().hex[:23]}"
        self.journal.append(Refused(name, way, calling_ae_title, called_ae_title, peer_address, self.clock(), reason))
        log.warning(
            "association refused",
            extra={"way": way, "calling": calling_ae_title, "address": peer_address, "reason": reason},
        )

    def begin(self, arrival: Arrival, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> Incoming:
        """Start one instance. What is wrong with it comes out at `commit`, when the sender listens."""
        return Incoming(self, arrival, (sop_class_uid, sop_instance_uid, transfer_syntax_uid))

    def adopt(self, arrival: Arrival, name: str, study_instance_uid: str | None = None) -> Receipt:
        """Take a whole DICOM file that lies in the spool as `partial` named it.

        A Part 10 file is kept as it is to the byte; a bare data set gets preamble and file meta. Where
        `study_instance_uid` is given, it must be of that study.

        Raises
        ------
        NotStored
            With the reason; the partial is gone then.
        """
        header = None
        try:
            with (self.spool / name).open("rb") as file:
                meta = read_meta(file)
                header = self.header_of(self.spool / name, meta.length, meta.transfer_syntax_uid)
                _check_meta(header, meta)
                if study_instance_uid not in (None, header.study_instance_uid):
                    raise NotStored(Status.DOES_NOT_MATCH, "The instance belongs to another study")
                file.seek(PREAMBLE)
                begin = meta.length
                if file.read(4) != b"DICM":
                    name, begin = self._with_preamble(name, file, meta, header, arrival)
            fd = os.open(self.spool / name, os.O_RDONLY)
            return self.place(name, fd, os.fstat(fd).st_size, begin, header, meta.transfer_syntax_uid, arrival)
        except OSError as error:
            problem = self.trouble(error, arrival)
        except NotStored as error:
            problem = error
        self.drop(name)
        if header is not None and is_uid(header.sop_instance_uid) and is_uid(header.sop_class_uid):
            problem.sop_class_uid, problem.sop_instance_uid = header.sop_class_uid, header.sop_instance_uid
        arrival.failure(problem.sop_instance_uid, problem)
        raise problem

    def _with_preamble(
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
            _write_all(fd, prefix)
            while part := file.read(COPY_BYTES):
                _write_all(fd, part)
        except OSError:
            self.drop(new)
            raise
        finally:
            os.close(fd)
        self.drop(name)
        return new, len(prefix)

    def partial(self) -> tuple[str, int]:
        """Name and descriptor of a new partial in the spool; `drop` or `place` ends it."""
        name = f"{self.process}-{next(self._numbers)}.part"
        self._open_partials.add(name)
        try:
            return name, os.open(self._spool + name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        except OSError as error:
            self._open_partials.discard(name)
            raise self.trouble(error, None) from error

    def drop(self, name: str) -> None:
        """Remove a partial; nothing happens where it is gone."""
        self._open_partials.discard(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._spool + name)

    def header_of(self, path: Path, start: int, transfer_syntax_uid: str) -> Header:
        """The header of the data set that begins at byte `start` of a file, mapped rather than read."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= start:
                raise NotStored(Status.CANNOT_UNDERSTAND, "The data set is empty")
            with (
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped,
                memoryview(mapped) as view,
                view[start:] as data,
            ):
                header = read_header(data, transfer_syntax_uid, whole=True)
        assert header is not None  # a whole data set has a header or raises
        return header

    def place(
        self, name: str, fd: int, size: int, start: int, header: Header, transfer_syntax_uid: str, arrival: Arrival
    ) -> Receipt:
        """Give a whole partial of `size` bytes its final name and write the receipt; `fd`, open on it, is closed.

        Its data set begins at byte `start`. An instance that is there already under its UID is replaced, and the
        receipt says whether by another data set.

        Raises
        ------
        NotStored
            0xA700, where the disk does not let it; the partial is left for the caller to drop.
        """
        relative = relative_path(header.sop_instance_uid)
        shard = relative[0]
        power = self.durability == "power"
        try:
            try:
                known = os.access(self._instances + relative, os.F_OK)
                changed = known and not _same_data_set(self._instances + relative, fd, size, start)
                if power:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(self._spool + name, self._instances + relative)
            self._open_partials.discard(name)
            entry = Stored(
                arrival.id,
                header.sop_instance_uid,
                header.sop_class_uid,
                header.series_instance_uid,
                header.study_instance_uid,
                header.modality,
                transfer_syntax_uid,
                relative,
                size,
                self.clock(),
                power,
                header.expected,
                changed,
            )
            self.journal.append(entry)
            if power:
                self._group_commit.wait(self._instances + shard)
        except OSError as error:
            raise self.trouble(error, arrival) from error
        arrival.stored += 1
        return Receipt(
            header.sop_class_uid,
            header.sop_instance_uid,
            header.series_instance_uid,
            header.study_instance_uid,
            relative,
        )

    def find(self, sop_instance_uid: str) -> Path | None:
        """Where the instance of that UID lies, or None where the store does not hold it."""
        if not is_uid(sop_instance_uid):
            return None
        path = self.instances / relative_path(sop_instance_uid)
        return path if path.exists() else None

    def make_safe(self, sop_instance_uid: str) -> bool:
        """Make a stored instance survive a power cut, for storage commitment; False where it is not there."""
        path = self.find(sop_instance_uid)
        if path is None:
            return False
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(path.parent)
        self.journal.append(Synced(sop_instance_uid))
        self.journal.sync()
        return True

    def free_bytes(self) -> int:
        """Room on the store's file system for a process without privileges; looked at a few times a second."""
        now = time.monotonic()
        if now - self._space_checked > FREE_SPACE_CACHED_S:
            space = os.statvfs(self.instances)
            self._free = space.f_bavail * space.f_frsize
            self._space_checked = now
            self._note_space(self._free < self.floor_bytes)
        return self._free

    def require_room(self, arrival: Arrival | None) -> None:
        """Raise `NotStored` 0xA700 below the floor; an association that met it once is refused to its end."""
        low = self.free_bytes() < self.floor_bytes
        if arrival is not None:
            arrival.disk_was_low = low = low or arrival.disk_was_low
        if low:
            raise NotStored(Status.OUT_OF_RESOURCES, "The disk is full")

    def trouble(self, error: OSError, arrival: Arrival | None) -> NotStored:
        """What an error of the operating system is to the sender: 0xA700, try again later or elsewhere."""
        log.error("cannot store", extra={"error": errno.errorcode.get(error.errno or 0, "unknown")})
        if arrival is not None and error.errno in (errno.ENOSPC, errno.EDQUOT):
            arrival.disk_was_low = True
        return NotStored(Status.OUT_OF_RESOURCES, "The node cannot write to its disk")

    def sweep(self) -> int:
        """Remove the partials that no living process is writing; how many there were."""
        removed = 0
        alive: dict[str, bool] = {self.process: True}
        for partial in self.spool.glob("*.part"):
            process = partial.name.split("-")[0]
            if process not in alive:
                segments = list(self.journal.folder.glob(f"{process}-*.journal"))
                alive[process] = any(not is_abandoned(segment) for segment in segments)
            mine = process == self.process
            if (mine and partial.name not in self._open_partials) or (not mine and not alive[process]):
                partial.unlink(missing_ok=True)
                removed += 1
        if removed:
            log.warning("partial files removed", extra={"count": removed})
        return removed

    def close(self) -> None:
        """End in order."""
        self.journal.close()

    def _note_space(self, low: bool) -> None:
        if low != self._was_low:
            self._was_low = low
            what = "disk low" if low else "disk has room again"
            detail = {"free_bytes": self._free, "floor_bytes": self.floor_bytes}
            self.journal.append(Noted(self.clock(), what, "", detail))
            log.warning(what, extra=detail)


class _Group:
    """Receipts that are made durable together."""

    def __init__(self) -> None:
        self.folders: set[str] = set()
        self.done = False
        self.error: OSError | None = None


class _GroupCommit:
    """One round of fsync for all associations that wait, by whichever of them comes first."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._condition = threading.Condition()
        self._gathering = _Group()
        self._busy = False

    def wait(self, folder: str) -> None:
        """Return when the names in `folder` and the receipts appended so far survive a power cut."""
        with self._condition:
            group = self._gathering
            group.folders.add(folder)
            while not group.done and self._busy:
                self._condition.wait()
            if not group.done:
                self._busy = True
                self._gathering = _Group()
        if not group.done:
            self._lead(group)
        if group.error is not None:
            raise group.error

    def _lead(self, group: _Group) -> None:
        try:
            for folder in group.folders:
                sync_folder(folder)
            self._journal.sync()
        except OSError as error:
            group.error = error
        finally:
            with self._condition:
                group.done = True
                self._busy = False
                self._condition.notify_all()


def _printable(text: str) -> str:
    """What a peer says of itself, fit for a log line: control characters become question marks."""
    return "".join(character if character.isprintable() else "?" for character in text)


def relative_path(sop_instance_uid: str) -> str:
    """Where an instance lies under `instances/`: the UID itself never becomes a path."""
    digest = hashlib.sha256(sop_instance_uid.encode()).hexdigest()[:40]
    return f"{digest[0]}/{digest}.dcm"


def _same_data_set(path: str, fd: int, size: int, start: int) -> bool:
    """Whether the stored instance `path` has the data set of the file `fd`, which begins at `start`.

    The file metas may differ: they say who sent it.
    """
    try:
        with open(path, "rb") as known:
            begin = read_meta(known).length
            if os.fstat(known.fileno()).st_size - begin != size - start:
                return False
            known.seek(begin)
            while part := known.read(COPY_BYTES):
                if part != os.pread(fd, len(part), start):
                    return False
                start += len(part)
    except FileNotFoundError:  # gone just now: there is nothing to replace
        return True
    except NotStored:  # what lies there is no DICOM file
        return False
    return True


def _check_meta(header: Header, meta: Meta) -> None:
    if not is_uid(header.sop_instance_uid) or not is_uid(header.sop_class_uid):
        raise NotStored(Status.CANNOT_UNDERSTAND, "SOP Class or Instance UID is missing or not a UID")
    if meta.sop_instance_uid not in ("", header.sop_instance_uid):
        raise NotStored(Status.DOES_NOT_MATCH, "File meta and data set name different SOP Instance UIDs")
    if meta.sop_class_uid not in ("", header.sop_class_uid):
        raise NotStored(Status.DOES_NOT_MATCH, "File meta and data set name different SOP Class UIDs")


def _write_all(fd: int, *parts: bytes | memoryview) -> None:
    """Write `parts`; a short write (a full disk says so by the next one) is taken up where it stopped."""
    wanted = sum(len(part) for part in parts)
    written = os.writev(fd, parts)
    if written < wanted:
        rest = memoryview(b"".join(parts))[written:]
        while rest:
            rest = rest[os.write(fd, rest) :]
