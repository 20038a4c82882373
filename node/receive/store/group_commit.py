"""Group commit: associations that wait at the same moment share one round of fsync.

A file system's journal takes what waits at the same moment in one go, so eight associations that flush together are
not slower than one that flushes alone.
"""

from __future__ import annotations

import threading

from node.files import flush
from node.receive.store.receipt_log import ReceiptLog


class _Group:
    """Receipts that are made durable together."""

    def __init__(self) -> None:
        self.folders: set[str] = set()
        self.done = False
        self.error: OSError | None = None


class GroupCommit:
    """One round of fsync for all associations that wait, by whichever of them comes first."""

    def __init__(self, receipt_log: ReceiptLog) -> None:
        self._receipt_log = receipt_log
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
                flush(folder)
            self._receipt_log.sync()
        except OSError as error:
            group.error = error
        finally:
            with self._condition:
                group.done = True
                self._busy = False
                self._condition.notify_all()
