"""Watched folders: files that no longer change are imported, then left there or deleted."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from node.background import Loop
from node.config import WatchedFolder
from node.database.states import AssociationOutcome
from node.files import write_whole
from node.receive.importer import ImportReport, import_path
from node.receive.store.locks import LeaderLock
from node.receive.store.store import Store

log = logging.getLogger(__name__)

POLL_S = 2.0
SETTLED_S = 2.0  # a file that has not changed for this long is taken to be whole

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
        """Import what has settled since the last time."""
        report = ImportReport()
        taken = self._recall()
        found: State = {}
        ready: list[Path] = []
        for folder, _, names in os.walk(self._settings.path):
            for name in sorted(names):
                path = Path(folder) / name
                try:
                    state = path.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # whoever writes there has renamed it
                if path.is_symlink() or not path.is_file():
                    continue
                key, mark = str(path), [state.st_mtime_ns, state.st_size]
                if taken.get(key) == mark:
                    found[key] = mark
                elif self._clock() - state.st_mtime >= SETTLED_S:
                    found[key] = mark
                    ready.append(path)
        if ready:
            self._take(ready, report)
        if found != taken:
            self._remember(found)
        return report

    def _take(self, ready: list[Path], report: ImportReport) -> None:
        arrival = self._store.open("folder", peer_address=self._settings.path.name[:64])
        for path in ready:
            if self._loop.stopping.is_set():
                break
            before = len(report.refused)
            import_path(path, self._store, arrival, report)
            if self._settings.after == "delete" and len(report.refused) == before:
                path.unlink(missing_ok=True)  # refused files stay, and are looked at again when they change
        arrival.close(AssociationOutcome.RELEASED)

    def _recall(self) -> State:
        try:
            state: State = json.loads(self._memory.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return state

    def _remember(self, state: State) -> None:
        # not flushed: where it is lost in a power cut, the folder is imported again, and the store has it already
        write_whole(self._memory, json.dumps(state).encode(), sync="never")
