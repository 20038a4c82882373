"""Watched folders: files that no longer change are imported, then left there or deleted.

What is not stored stays, and the status page names it; the audit trail has the number of files, and the reasons. A file
is deleted only once all that it holds is safe in the store and its bytes are still those that were read. Nothing in the
node's own data folder is taken or deleted, also where a link or a mount has led there since the node started.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Set
from pathlib import Path
from sys import intern
from time import thread_time
from typing import NamedTuple

from dicom_sr.words import shown
from node.background import Loop
from node.config import WatchedFolder
from node.database.states import AssociationOutcome
from node.database.tables import FILE_NOT_TAKEN
from node.files import digest_of, write_whole
from node.folders import OWN_FOLDER, files_below, is_same, lies_in
from node.progress import goes_on
from node.receive.files_not_taken import FilesNotTaken, memory_of
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
AGAIN_S = 30.0  # until a file is tried again that could not be read, or the folder, where there was no room; then
LONGEST_PAUSE_S = 900.0  # twice as long each time, up to this
BUSY_SHARE = 0.05  # of a processor that looking through the folder takes at most: one of many files is seldom looked at

EMPTY = "is empty so far"

State = dict[str, list[int]]  # path -> modification time in ns, size


class _Retry(NamedTuple):
    """When a file is tried again, unless it changes before."""

    mark: list[int]  # its modification time in ns and size
    at: float  # seconds since the epoch
    pause_s: float


class FolderWatcher:
    """Imports what comes into one folder. What it took is remembered beside the receipts, over restarts too.

    Parameters
    ----------
    key
        Of its path in the configuration.
    leader_lock
        Only the process that has it looks.
    clock
        Seconds since the epoch, as file times are.
    """

    def __init__(
        self,
        key: str,
        settings: WatchedFolder,
        store: Store,
        leader_lock: LeaderLock,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._store = store
        self._leader_lock = leader_lock
        self._clock = clock
        self._memory = memory_of(store.receipts.folder, "watched", settings.path)
        self._not_taken = FilesNotTaken(store.receipts.folder, settings.path)
        self._again: dict[str, _Retry] = {}  # by path
        self._left: dict[str, str] = {}  # what was not taken when it was last looked, and why, by path
        self._looked_s = 0.0  # that this took, of the processor's time
        self._pause_s = 0.0  # for which the folder is put off,
        self._put_off_until = 0.0
        self._arrival: Arrival | None = None  # of this round
        self._loop = Loop(key, self._work, every_s=POLL_S, retry_s=POLL_S)

    def start(self) -> None:
        """Begin to look."""
        self._loop.start()

    def stop(self) -> None:
        """End after the file at hand."""
        self._loop.stop()

    def problem(self) -> str | None:
        """Why nothing is taken from the folder at the moment, or None."""
        return self._loop.problem()

    def _work(self) -> float:
        """Look, if this process is to; the seconds until the next time."""
        self._looked_s = 0.0
        if self._leader_lock.is_mine():
            self.poll()
        return max(POLL_S, min(self._looked_s * (1 / BUSY_SHARE - 1), LONGEST_PAUSE_S))

    def poll(self) -> ImportReport:
        """Import what has settled since the last time.

        Raises
        ------
        OSError
            If the folder is not there, may not be read or is the node's own; what was taken from it stays remembered.
        """
        self._require_folder()
        report = ImportReport()
        if self._clock() < self._put_off_until:
            return report
        began = thread_time()
        taken = self._recall()
        found, ready, left = self._look(taken)
        for path, reason in left.items():
            if self._left.get(path) != reason:
                self._name(Path(path), [(shown(Path(path).name), reason)])
        self._left = left
        looked_s = thread_time() - began
        if ready:
            # what there was no room for comes last: it may be too large, and the others not
            for again in self._take(sorted(ready, key=lambda path: str(path) in self._again), found, report):
                del found[str(again)]
        began = thread_time()
        self._forget(found.keys() | self._again.keys() | left.keys())
        if found != taken:
            self._remember(found)
        self._looked_s = looked_s + thread_time() - began
        return report

    def _look(self, taken: State) -> tuple[State, list[Path], dict[str, str]]:
        """What of the folder is taken or is to be, which files are to be, and what is left, with the reason."""
        found: State = {}
        ready: list[Path] = []
        left: dict[str, str] = {}
        denied: set[Path] = set()

        def leave(path: Path, reason: str) -> None:
            denied.add(path)
            left[str(path)] = reason

        for path in files_below(self._settings.path, leave, self._store.data):
            goes_on()
            try:
                state = path.lstat()
            except OSError:
                continue  # whoever writes there has renamed it
            key, mark = str(path), [state.st_mtime_ns, state.st_size]
            age_s = self._clock() - state.st_mtime
            if taken.get(key) == mark:
                found[key] = mark
            elif age_s >= SETTLED_S and self._is_due(key, mark):
                reason = _unfinished(path) if state.st_size else EMPTY
                if (reason and age_s < INCOMPLETE_S) or reason == EMPTY:
                    left[key] = intern(f"{reason}: it is taken when it is whole")  # the same for very many
                else:
                    found[key] = mark
                    ready.append(path)
        if denied:
            found |= {
                key: mark for key, mark in taken.items() if not denied.isdisjoint((Path(key), *Path(key).parents))
            }
        return found, ready, left

    def _require_folder(self) -> None:
        path = self._settings.path
        if not os.path.exists(path):
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path))
        os.scandir(path).close()
        if lies_in(path, self._store.data):
            raise PermissionError(errno.EPERM, OWN_FOLDER, str(path))

    def _is_due(self, key: str, mark: list[int]) -> bool:
        retry = self._again.get(key)
        return retry is None or retry.mark != mark or retry.at <= self._clock()

    def _take(self, ready: list[Path], found: State, report: ImportReport) -> list[Path]:
        """Import these files, until there is no room for one; those that are to be tried again."""
        again = []
        for number, path in enumerate(ready):
            if self._loop.stopping.is_set() or report.no_room:
                again += ready[number:]
                break
            one = self._take_one(path)
            if one.unreadable or one.no_room:
                again.append(path)
                self._put_off(str(path), found[str(path)])
            else:
                self._again.pop(str(path), None)
            report.add(one)
        if report.no_room:
            self._pause_s = AGAIN_S if report.stored else _longer(self._pause_s)
            self._put_off_until = self._clock() + self._pause_s
        else:
            self._pause_s = 0.0
        if self._arrival is not None:
            self._arrival.close(AssociationOutcome.RELEASED)
            self._arrival = None
        return again

    def _put_off(self, key: str, mark: list[int]) -> None:
        before = self._again.get(key)
        pause_s = _longer(before.pause_s if before is not None and before.mark == mark else 0.0)
        self._again[key] = _Retry(mark, self._clock() + pause_s, pause_s)

    def _open(self) -> Arrival:
        """The arrival of this round: there is none where nothing is to be stored, or there is no room for it.

        Raises
        ------
        NotStored
            If there is no room.
        """
        if self._arrival is None:
            self._store.require_room(None)
            self._arrival = self._store.open("folder", peer_address=shown(self._settings.path.name)[:64])
        return self._arrival

    def _take_one(self, path: Path) -> ImportReport:
        """Import a file, name what was not taken of it, and delete it if nothing is lost by that."""
        report = ImportReport()
        deletes = self._settings.after == "delete"
        digest = digest_of(path) if deletes else None
        receipts = import_file(path, self._store, self._open, report)
        kept = report.not_taken
        if report.directories:
            kept.append((shown(path.name), "is the directory of a medium, whose files are taken one by one"))
        if deletes and receipts and not kept:
            reason = self._delete(path, digest, receipts)
            if reason:
                kept.append((shown(path.name), f"is stored, and stays: it {reason}"))
        if kept:
            self._name(path, kept)
        else:
            self._not_taken.remove(path)
        return report

    def _delete(self, path: Path, digest: str | None, receipts: list[Receipt]) -> str:
        """Delete a file of that SHA-256, all of which is stored; why it was not deleted, or nothing."""
        if reason := _unfinished(path):
            return reason
        wanted = {receipt.sop_instance_uid for receipt in receipts}
        if self._store.make_safe(wanted) != wanted:
            return "is not in the store any more"
        if lies_in(path, self._store.data):
            return OWN_FOLDER
        if any(found is not None and is_same(path, found) for found in map(self._store.find, wanted)):
            return "is the stored file itself"
        if digest is None or digest_of(path) != digest:
            return "has changed while it was read"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            return f"cannot be deleted: {error.strerror}"
        return ""

    def _name(self, path: Path, files: list[tuple[str, str]]) -> None:
        self._not_taken.add(path, files, self._clock())

    def _forget(self, there: Set[str]) -> None:
        """Keep in mind only files that are there, and tell the operator, once, that some are not taken, and why."""
        self._again = {key: retry for key, retry in self._again.items() if key in there and os.path.exists(key)}
        count, reasons = self._not_taken.settle(there)
        if count:
            detail = {"folder": shown(str(self._settings.path)), "files": count, "reasons": reasons}
            self._store.note(FILE_NOT_TAKEN, detail)
        for reason in reasons:
            log.warning(FILE_NOT_TAKEN, extra={"folder": self._settings.path.name, "reason": reason})

    def _recall(self) -> State:
        try:
            state: State = json.loads(self._memory.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return state

    def _remember(self, state: State) -> None:
        # not flushed: where it is lost in a power cut, the folder is imported again, and the store has it already
        write_whole(self._memory, json.dumps(state).encode(), sync="never")


def _longer(pause_s: float) -> float:
    return min(max(2 * pause_s, AGAIN_S), LONGEST_PAUSE_S)


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
    except Exception:  # noqa: BLE001 (whatever it holds: whoever reads it says so)
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
