"""Watched folders: files that no longer change are imported, then left there or deleted.

What is not stored stays, and the audit trail names it. A file is deleted only once all that it holds is safe in the
store and its bytes are still those that were read.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Set
from pathlib import Path

from node.background import Loop
from node.config import WatchedFolder
from node.database.states import AssociationOutcome
from node.database.tables import FILE_NOT_TAKEN
from node.files import digest_of, write_whole
from node.receive.importer import ImportReport, import_file
from node.receive.status import NotStored
from node.receive.store.header import FileBytes, ends_early
from node.receive.store.incoming import Arrival
from node.receive.store.instance_files import Receipt
from node.receive.store.locks import LeaderLock
from node.receive.store.part10 import read_meta
from node.receive.store.store import Store

log = logging.getLogger(__name__)

POLL_S = 2.0
SETTLED_S = 2.0  # a file that has not changed for this long is taken to be whole, unless it shows that it is not:
INCOMPLETE_S = 60.0  # then it is stored as it is after this long, and never deleted
AGAIN_S = 30.0  # until a file is tried again that could not be read, or for which there was no room
NAMED = 20  # files in a packed file that the audit trail names

EMPTY = "is empty so far"

State = dict[str, list[int]]  # path -> modification time in ns, size


class FolderWatcher:
    """Imports what comes into one folder. What it took is remembered beside the receipts, over restarts too.

    Parameters
    ----------
    leader_lock
        Only the process that has it looks.
    clock
        Seconds since the epoch, as file times are.
    """

    def __init__(
        self, settings: WatchedFolder, store: Store, leader_lock: LeaderLock, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._store = store
        self._leader_lock = leader_lock
        self._clock = clock
        name = hashlib.sha256(str(settings.path.absolute()).encode()).hexdigest()[:16]
        self._memory = store.receipts.folder / f"watched-{name}.json"
        self._named: dict[str, set[str]] = {}  # path -> why it is not taken, as the operator was told
        self._again: dict[str, float] = {}  # path -> when it is tried again
        self._loop = Loop("watched folder", self._work, every_s=POLL_S, retry_s=POLL_S)

    def start(self) -> None:
        """Begin to look."""
        self._loop.start()

    def stop(self) -> None:
        """End after the file at hand."""
        self._loop.stop()

    def _work(self) -> None:
        if self._leader_lock.is_mine():
            self.poll()

    def poll(self) -> ImportReport:
        """Import what has settled since the last time.

        Raises
        ------
        OSError
            If the folder is not there; what was taken from it stays remembered.
        """
        self._settings.path.stat()
        report = ImportReport()
        taken = self._recall()
        found: State = {}
        ready: list[Path] = []
        waiting: list[tuple[Path, str]] = []
        for folder, _, names in os.walk(self._settings.path):
            for name in sorted(names):
                path = Path(folder) / name
                try:
                    state = path.stat(follow_symlinks=False)
                except OSError:
                    continue  # whoever writes there has renamed it
                if path.is_symlink() or not path.is_file():
                    continue
                key, mark = str(path), [state.st_mtime_ns, state.st_size]
                age_s = self._clock() - state.st_mtime
                if taken.get(key) == mark:
                    found[key] = mark
                elif age_s >= SETTLED_S and self._again.get(key, 0.0) <= self._clock():
                    reason = _unfinished(path)
                    if (reason and age_s < INCOMPLETE_S) or reason == EMPTY:
                        waiting.append((path, reason))
                    else:
                        found[key] = mark
                        ready.append(path)
        for path, reason in waiting:
            self._name(path, [(path.name, f"{reason}: it is taken when it is whole")])
        if ready:
            for path in self._take(ready, report):
                del found[str(path)]
        self._forget(found.keys() | self._again.keys() | {str(path) for path, _ in waiting})
        if found != taken:
            self._remember(found)
        return report

    def _take(self, ready: list[Path], report: ImportReport) -> list[Path]:
        """Import these files; those that are to be tried again."""
        again = []
        arrival = self._store.open("folder", peer_address=self._settings.path.name[:64])
        for number, path in enumerate(ready):
            if self._loop.stopping.is_set():
                again += ready[number:]
                break
            one = self._take_one(path, arrival)
            if one.try_again:
                again.append(path)
                self._again[str(path)] = self._clock() + AGAIN_S
            report.add(one)
        arrival.close(AssociationOutcome.RELEASED)
        return again

    def _take_one(self, path: Path, arrival: Arrival) -> ImportReport:
        """Import a file, name what was not taken of it, and delete it if nothing is lost by that."""
        report = ImportReport()
        digest = digest_of(path)
        receipts = import_file(path, self._store, arrival, report)
        kept = report.not_taken
        if report.directories:
            kept.append((path.name, "is the directory of a medium, whose files are taken one by one"))
        if self._settings.after == "delete" and receipts and not kept:
            reason = self._delete(path, digest, receipts)
            if reason:
                kept.append((path.name, f"is stored, and stays: it {reason}"))
        if kept:
            self._name(path, kept)
        return report

    def _delete(self, path: Path, digest: str | None, receipts: list[Receipt]) -> str:
        """Delete a file of that SHA-256, all of which is stored; why it was not deleted, or nothing."""
        if reason := _unfinished(path):
            return reason
        if not all(self._store.make_safe(receipt.sop_instance_uid) for receipt in receipts):
            return "is not in the store any more"
        if digest is None or digest_of(path) != digest:
            return "has changed while it was read"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            return f"cannot be deleted: {error.strerror}"
        return ""

    def _name(self, path: Path, files: list[tuple[str, str]]) -> None:
        """Tell the operator, once, which file stays, and why. The log has no names: patients' may be in them."""
        reasons = {reason for _, reason in files}
        if self._named.get(str(path)) == reasons:
            return
        self._named[str(path)] = reasons
        self._store.note(
            FILE_NOT_TAKEN,
            {
                "folder": str(self._settings.path),
                "file": str(path.relative_to(self._settings.path)),
                "reasons": sorted(reasons),
                **({"files": [name for name, _ in files[:NAMED]], "count": len(files)} if len(files) > 1 else {}),
            },
        )
        for reason in sorted(reasons):
            log.warning(FILE_NOT_TAKEN, extra={"folder": self._settings.path.name, "reason": reason})

    def _forget(self, there: Set[str]) -> None:
        """Keep in mind only files that are there."""
        self._named = {key: reasons for key, reasons in self._named.items() if key in there}
        self._again = {key: when for key, when in self._again.items() if key in there and os.path.exists(key)}

    def _recall(self) -> State:
        try:
            state: State = json.loads(self._memory.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return state

    def _remember(self, state: State) -> None:
        # not flushed: where it is lost in a power cut, the folder is imported again, and the store has it already
        write_whole(self._memory, json.dumps(state).encode(), sync="never")


def _unfinished(path: Path) -> str:
    """Why a file that has settled looks as if its copy had not ended; empty where it does not."""
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return EMPTY
            if _is_being_written(file.fileno()):
                return "is still being written"
            try:
                meta = read_meta(file)
            except NotStored:
                return ""  # packed, or no DICOM: whoever reads it says so
            early = ends_early(FileBytes(file.fileno(), meta.length), meta.transfer_syntax_uid)
            return "ends in the middle of an element" if early else ""
    except OSError:
        return ""


def _is_being_written(descriptor: int) -> bool:
    """Whether another process has the file open to write, as far as the system says.

    A read lease (fcntl(2)) is not given then. It cannot be had for files of others, nor on most network shares.
    """
    try:
        # should somebody begin to write at this moment, the kernel sends a signal: one that does nothing
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False
