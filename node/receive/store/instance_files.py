"""Instances as files: a partial in the spool becomes an instance under its final name, with a receipt, or nothing.

    <data>/spool/<process>-<n>.part        being written
    <data>/instances/<hex>/<digest>.dcm    whole
    <data>/receipts/<process>-<n>.journal  what happened, until the receipt import has brought it into the database

An instance's file is named by the digest of its SOP Instance UID: what a peer sends never becomes a path. Under that
name only an instance of the same patient, study and series takes its place. A device that gives one UID to several is
refused, and leaves a mark beside the file:

    <data>/instances/<hex>/<digest>.taken  another instance was refused under this UID: it cannot be committed

Another mark stands there while an instance is replaced by another data set:

    <data>/instances/<hex>/<digest>.changed  its receipt is not written yet: who sends it again changes it too

Who brings an instance of the same UID waits, in whichever process, from the first look at what is there until the
receipt is written: the last receipt is that of the file that is there. It has the latest turn
(`node.receive.store.locks`), by which the import tells it in whatever order it reads what several processes wrote.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import logging
import mmap
import os
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from node.files import COPY_BYTES, PRIVATE_FILE, flush, free_bytes, make_folder, rename_new, write_all
from node.progress import goes_on
from node.receive.status import NotStored, Status
from node.receive.store.group_commit import GroupCommit
from node.receive.store.header import FileBytes, Header, ends_early, is_uid, read_header
from node.receive.store.locks import Turns
from node.receive.store.part10 import read_meta
from node.receive.store.receipt_log import CameBack, Noted, ReceiptLog, Stored, Synced, is_abandoned
from node.receive.store.refusals import Refusals
from node.study.patients import Person, accession_digest, marking_key
from pipelines.records.record import Identity

log = logging.getLogger(__name__)

Durability = Literal["process", "power"]

FREE_SPACE_CACHED_S = 0.2  # free space is looked at this often, not per instance
TAKEN, CHANGED = ".taken", ".changed"
TURNS = "turns"  # beside the receipts
MARKS = (TAKEN, CHANGED)  # beside an instance, and deleted with it
SHARDS = "0123456789abcdef"  # folders under `instances/`: few enough that a group commit flushes few


class Receipt(NamedTuple):
    """An instance that was stored."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    relative: str  # to the folder of instances


class Sender(Protocol):
    """What the files need to know of an association."""

    id: str
    stored: int  # instances
    disk_was_low: bool


class InstanceFiles:
    """The instances on disk, whole or being written, and their receipts.

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
    own_results
        Where the file of an object lies that the node made, by SOP Instance UID; None where it has none.
    """

    def __init__(
        self,
        data: Path,
        durability: Durability = "power",
        floor_bytes: int = 0,
        maximum_bytes: int = 4 * 2**30,
        clock: Callable[[], float] = time.time,
        own_results: Callable[[str], Path | None] = lambda _: None,
    ) -> None:
        self.data = data
        self.instances = data / "instances"
        self.spool = data / "spool"
        self.durability = durability
        self.floor_bytes = floor_bytes
        self.maximum_bytes = maximum_bytes
        self.clock = clock
        self._own_results = own_results
        make_folder(self.spool)
        for shard in SHARDS:  # now: making one takes longer than storing an instance
            make_folder(self.instances / shard)
        flush(self.instances)
        self._instances, self._spool = f"{self.instances}/", f"{self.spool}/"  # Path costs 5 us a name
        key = marking_key(data)
        self._mark: Callable[[Identity], str] = lru_cache(maxsize=1024)(lambda who: Person.of(who).marked(key))
        self._accession: Callable[[str], str] = lru_cache(maxsize=1024)(lambda number: accession_digest(number, key))
        self.receipts = ReceiptLog(data / "receipts")
        self.turns = Turns(self.receipts.folder / TURNS)
        self.process = self.receipts.process
        self._numbers = itertools.count()
        self._open_partials: set[str] = set()
        self.refusals = Refusals(self.receipts)
        self._group_commit = GroupCommit(self.receipts)
        self._space_checked = float("-inf")
        self._free = 0
        self._was_low = False
        self.sweep()

    def partial(self) -> tuple[str, int]:
        """Name and descriptor of a new partial in the spool; `drop` or `place` ends it."""
        name = f"{self.process}-{next(self._numbers)}.part"
        self._open_partials.add(name)
        try:
            return name, os.open(self._spool + name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
        except OSError as error:
            self._open_partials.discard(name)
            raise self.trouble(error, None) from error

    def write(self, fd: int, sender: Sender | None, *parts: bytes | memoryview) -> None:
        """Append to a partial, with one system call: the one place where instances reach the disk, however they come.

        Raises
        ------
        NotStored
            0xA700, where less room than the floor would be left, or the disk does not take all of it.
        """
        size = sum(map(len, parts))
        self.require_room(sender, size)
        self._free -= size  # until it is looked at again
        try:
            write_all(fd, *parts)
        except OSError as error:
            raise self.trouble(error, sender) from error

    def drop(self, name: str) -> None:
        """Remove a partial; nothing happens where it is gone, and what cannot be removed is swept later."""
        self._open_partials.discard(name)
        with contextlib.suppress(OSError):
            os.unlink(self._spool + name)

    @staticmethod
    def header_of(path: Path, start: int, transfer_syntax_uid: str) -> Header:
        """The header of the data set that begins at byte `start` of a file, mapped rather than read.

        Parameters
        ----------
        path
            A file of the spool.
        start
            First byte of the data set.
        transfer_syntax_uid
            What the data set is written in.
        """
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
        self, name: str, fd: int, size: int, start: int, header: Header, transfer_syntax_uid: str, sender: Sender
    ) -> Receipt:
        """Give a whole partial of `size` bytes its final name and write the receipt; `fd`, open on it, is closed.

        Its data set begins at byte `start`. An instance that is there already under its UID is replaced where it is of
        the same patient, study and series, and the receipt says whether by another data set. An object that the node
        made and still has is not stored once more.

        Parameters
        ----------
        name
            Of the partial.
        fd
            Open on it.
        size
            Of the whole file, in bytes.
        start
            First byte of its data set.
        header
            Of its data set.
        transfer_syntax_uid
            What its data set is written in.
        sender
            The association that it came by.

        Raises
        ------
        NotStored
            0xA700, where the disk does not let it; 0xC002, where another instance has its UID; 0xC000, where one of its
            UIDs is none, or it was cut off, as the one that it would replace shows. The partial is left for the caller
            to drop.
        """
        power = self.durability == "power"
        try:
            with contextlib.ExitStack() as until_recorded:
                try:
                    _require_uids(header, transfer_syntax_uid)
                    relative = relative_path(header.sop_instance_uid)
                    if header.made_by_us and self._is_here(header.sop_instance_uid, fd, size, start):
                        return self._came_back(name, header, sender, relative)
                    if power:  # what takes long comes before the turn, or after it
                        os.fsync(fd)
                    turn = until_recorded.enter_context(self.turns.of(digest_in(relative)))
                    changed = self._settle(name, fd, size, start, header, transfer_syntax_uid, relative)
                finally:
                    os.close(fd)
                self._open_partials.discard(name)
                entry = Stored(
                    sender.id,
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
                    header.made_by_us,
                    self._mark(header.patient),
                    turn,
                    self._accession(header.accession_number),
                )
                self.receipts.append(entry)
            if power:
                self._group_commit.wait(self._instances + relative[0])
            if changed:
                self._forget_change(name, relative)
        except OSError as error:
            raise self.trouble(error, sender) from error
        sender.stored += 1
        return _receipt(header, relative)

    def _settle(
        self, name: str, fd: int, size: int, start: int, header: Header, transfer_syntax_uid: str, relative: str
    ) -> bool:
        """Give the partial its final name; whether another data set than that of the last receipt has it now.

        Raises
        ------
        NotStored
            0xC002, where what has the name is of another patient, study or series; 0xC000, where the partial is the
            beginning of it, or was cut off and it was not.
        """
        partial, final = self._spool + name, self._instances + relative
        mark = Path(final).with_suffix(CHANGED)
        while True:
            try:
                rename_new(partial, final)
                return False
            except FileExistsError:
                likeness = _likeness(final, fd, size, start)
            if changed := likeness != "same":
                try:
                    self._require_same(header, final)
                    if likeness == "beginning":
                        reason = "It is only the beginning of the one that is stored"
                        raise NotStored(Status.CANNOT_UNDERSTAND, reason)
                    _require_as_whole(FileBytes(fd, start), transfer_syntax_uid, final)
                except FileNotFoundError:  # gone just now
                    continue
            if changed := changed or mark.exists():
                mark.touch(PRIVATE_FILE)
                mark.write_text(name, "ascii")
            os.rename(partial, final)
            return changed

    def _forget_change(self, name: str, relative: str) -> None:
        """Remove the mark of the change that partial `name` made, unless it is that of a later one by now."""
        mark = self.instances / Path(relative).with_suffix(CHANGED)
        with contextlib.suppress(OSError), self.turns.of(digest_in(relative)):  # one that stays is a change too many
            if mark.read_text("ascii", "replace") == name:
                mark.unlink()

    def _require_same(self, header: Header, stored: str) -> None:
        """Raise `NotStored` 0xC002 where the stored file is of another patient, study or series than `header`."""
        try:
            with open(stored, "rb") as file:
                meta = read_meta(file)
            other = self.header_of(Path(stored), meta.length, meta.transfer_syntax_uid)
        except NotStored:  # nobody's: what lies there is no DICOM file
            return
        if Person.of(header.patient).contradiction(Person.of(other.patient)) is not None:
            whose = "patient"
        elif header.study_instance_uid != other.study_instance_uid:
            whose = "study"
        elif header.series_instance_uid != other.series_instance_uid:
            whose = "series"
        else:
            return
        Path(stored).with_suffix(TAKEN).touch()
        problem = NotStored(Status.UID_TAKEN, f"Its SOP Instance UID is that of another {whose}'s instance")
        problem.study_instance_uid, problem.series_instance_uid = header.study_instance_uid, header.series_instance_uid
        raise problem

    def _is_here(self, sop_instance_uid: str, fd: int, size: int, start: int) -> bool:
        """Whether the data set of file `fd` is that of an object that the node made, and has."""
        path = self._own_results(sop_instance_uid)
        return path is not None and path.exists() and _likeness(str(path), fd, size, start) == "same"

    def _came_back(self, name: str, header: Header, sender: Sender, relative: str) -> Receipt:
        self.drop(name)
        self.receipts.append(CameBack(sender.id, header.sop_instance_uid, self.clock()))
        sender.stored += 1
        return _receipt(header, relative)

    def find(self, sop_instance_uid: str) -> Path | None:
        """Where the instance of that UID lies, stored or as the node made it; None where it is not here."""
        if not is_uid(sop_instance_uid):
            return None
        path = self.instances / relative_path(sop_instance_uid)
        if path.exists():
            return path
        own = self._own_results(sop_instance_uid)
        return own if own is not None and own.exists() else None

    def is_taken(self, sop_instance_uid: str) -> bool:
        """Whether another instance was refused because this UID is taken: whoever asks may mean that one."""
        return (self.instances / relative_path(sop_instance_uid)).with_suffix(TAKEN).exists()

    def make_safe(self, sop_instance_uids: Iterable[str]) -> set[str]:
        """Make stored instances survive a power cut, for storage commitment; those that now do.

        Each file is synced, and then each folder and the receipts once.
        """
        began = self.clock()
        synced: dict[Path, list[str]] = {}  # by folder
        for uid in sop_instance_uids:
            goes_on()
            path = self.find(uid)
            with contextlib.suppress(OSError):
                if path is not None:
                    with path.open("rb") as file:
                        os.fsync(file.fileno())
                    synced.setdefault(path.parent, []).append(uid)
        safe: set[str] = set()
        for folder, uids in synced.items():
            with contextlib.suppress(OSError):
                flush(folder)
                safe.update(uids)
        for uid in safe:
            self.receipts.record(Synced(uid, began))  # without it, it is flushed once more the next time
        if safe:
            self.receipts.sync()
        return safe

    def free_bytes(self) -> int:
        """Room on the store's file system for a process without privileges.

        It is looked at a few times a second; in between, what this process writes is taken off.
        """
        if time.monotonic() - self._space_checked > FREE_SPACE_CACHED_S:
            self._look_at_space()
        return self._free

    def note(self, what: str, detail: dict[str, Any]) -> None:
        """Put something into the audit trail."""
        self.receipts.record(Noted(self.clock(), what, "", detail))

    def require_room(self, sender: Sender | None, size: int = 0) -> None:
        """Raise `NotStored` 0xA700 where `size` bytes more would leave less room than the floor.

        An association that met it once is refused to its end.
        """
        try:
            low = self.free_bytes() - size < self.floor_bytes
            if low:  # what was refused this moment is gone again
                self._look_at_space()
                low = self._free - size < self.floor_bytes
        except OSError as error:
            raise self.trouble(error, sender) from error
        if sender is not None:
            sender.disk_was_low = low = low or sender.disk_was_low
        if low:
            raise NotStored(Status.OUT_OF_RESOURCES, "The disk is full")

    def trouble(self, error: OSError, sender: Sender | None) -> NotStored:
        """What an error of the operating system is to the sender: 0xA700, try again later or elsewhere."""
        log.error("cannot store", extra={"error": errno.errorcode.get(error.errno or 0, "unknown")})
        if sender is not None and error.errno in (errno.ENOSPC, errno.EDQUOT):
            sender.disk_was_low = True
        return NotStored(Status.OUT_OF_RESOURCES, "The node cannot write to its disk")

    def sweep(self) -> int:
        """Remove the partials that no living process is writing; how many there were."""
        removed = 0
        alive: dict[str, bool] = {self.process: True}
        for partial in self.spool.glob("*.part"):
            process = partial.name.split("-")[0]
            if process not in alive:
                segments = list(self.receipts.folder.glob(f"{process}-*.journal"))
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
        self.refusals.close()
        self.receipts.close()
        self.turns.close()

    def _look_at_space(self) -> None:
        self._free = free_bytes(self.instances)
        self._space_checked = time.monotonic()
        self._note_space(self._free < self.floor_bytes)

    def _note_space(self, low: bool) -> None:
        if low != self._was_low:
            self._was_low = low
            what = "disk low" if low else "disk has room again"
            detail = {"free_bytes": self._free, "floor_bytes": self.floor_bytes}
            self.note(what, detail)
            log.warning(what, extra=detail)


def relative_path(sop_instance_uid: str) -> str:
    """Where an instance lies under `instances/`: the UID itself never becomes a path."""
    digest = hashlib.sha256(sop_instance_uid.encode()).hexdigest()[:40]
    return f"{digest[0]}/{digest}.dcm"


def digest_in(relative: str) -> str:
    """The digest of the UID of an instance that lies there: what its turn is asked for by."""
    return relative[2:-4]


def _require_uids(header: Header, transfer_syntax_uid: str) -> None:
    """Raise `NotStored` 0xC000 where a UID that a receipt would hold is none: whichever way the instance came."""
    uids = {
        "SOP Class": header.sop_class_uid,
        "SOP Instance": header.sop_instance_uid,
        "Study Instance": header.study_instance_uid,
        "Series Instance": header.series_instance_uid,
        "Transfer Syntax": transfer_syntax_uid,
    }
    for name, uid in uids.items():
        if not is_uid(uid):
            raise NotStored(Status.CANNOT_UNDERSTAND, f"{name} UID is missing or not a UID")


def _receipt(header: Header, relative: str) -> Receipt:
    return Receipt(
        header.sop_class_uid,
        header.sop_instance_uid,
        header.series_instance_uid,
        header.study_instance_uid,
        relative,
    )


def _likeness(path: str, fd: int, size: int, start: int) -> Literal["same", "beginning", "other"]:
    """What the data set of the file `fd`, which begins at `start`, is to that of the stored instance `path`.

    The file metas may differ: they say who sent it.
    """
    try:
        with open(path, "rb") as known:
            begin = read_meta(known).length
            missing = os.fstat(known.fileno()).st_size - begin - (size - start)
            if missing < 0:
                return "other"
            known.seek(begin)
            while part := os.pread(fd, min(COPY_BYTES, size - start), start):
                if part != known.read(len(part)):
                    return "other"
                start += len(part)
    except FileNotFoundError:  # gone just now
        return "other"
    except NotStored:  # what lies there is no DICOM file
        return "other"
    return "beginning" if missing else "same"


def _require_as_whole(data: FileBytes, transfer_syntax_uid: str, stored: str) -> None:
    """Raise `NotStored` 0xC000 where `data` was cut off and the stored file was not: that would lose an image."""
    if not ends_early(data, transfer_syntax_uid):
        return
    try:
        with open(stored, "rb") as file:
            meta = read_meta(file)
            cut_off_too = ends_early(FileBytes(file.fileno(), meta.length), meta.transfer_syntax_uid)
    except NotStored:  # what lies there is no DICOM file
        return
    if not cut_off_too:
        raise NotStored(Status.CANNOT_UNDERSTAND, "It ends in the middle of an element, and a whole one is stored")
