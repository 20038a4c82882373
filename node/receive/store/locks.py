"""Locks between the receiver processes of a node; the kernel gives them back when a process dies."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.files import PRIVATE_FILE, make_folder

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid
_TURN = struct.Struct("<q")
TURN_LOCKS = 256  # so many names can be worked on at a time


class _LockFile:
    """A file that is there to be locked.

    Parameters
    ----------
    path
        The file; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        self._fd = _opened(path)

    def close(self) -> None:
        """Leave it to others."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class LeaderLock(_LockFile):
    """Held by the one process of the node that does a certain work: whoever asks first has it until it ends."""

    def is_mine(self) -> bool:
        """Take it if it is free; whether this process has it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def take_slot(path: Path, slots: int) -> int | None:
    """A descriptor that holds one of `slots` slots until it is closed, or None where all are taken.

    Each slot is a byte of the file under a lock of the open file description (fcntl(2), F_OFD_SETLK): it counts across
    processes, and a killed one gives its slots back.
    """
    fd = _opened(path)
    for slot in range(slots):
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, slot, 1))
        except BlockingIOError:
            continue
        return fd
    os.close(fd)
    return None


class Turns(_LockFile):
    """One at a time for each name, over threads and processes, and each has a turn that is later than all before it.

    A turn is a number, nanoseconds since the epoch where the clock goes on, and one more than the last where it was set
    back: the last one is kept in the file. Names share `TURN_LOCKS` locks, each on the place of its last turn.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._of_threads = [threading.Lock() for _ in range(TURN_LOCKS)]  # a process does not lock out itself

    @contextmanager
    def of(self, digest: str) -> Iterator[int]:
        """Wait for the turn of a name, and keep it while the context lasts.

        Parameters
        ----------
        digest
            Of the name, in hexadecimal digits.

        Raises
        ------
        OSError
            If the file cannot be locked or written.
        """
        number = int(digest[:8], 16) % TURN_LOCKS
        place = number * _TURN.size
        with self._of_threads[number]:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW, _flock(fcntl.F_WRLCK, place, _TURN.size))
            try:
                before = os.pread(self._fd, _TURN.size, place)
                last = _TURN.unpack(before)[0] if len(before) == _TURN.size else 0
                turn = max(time.time_ns(), last + 1)
                os.pwrite(self._fd, _TURN.pack(turn), place)
                yield turn
            finally:
                fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, place, _TURN.size))


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)


def _flock(kind: int, start: int, length: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)
