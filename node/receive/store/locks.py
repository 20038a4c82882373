"""Locks between the receiver processes of a node; the kernel gives them back when a process dies."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from node.files import PRIVATE_FILE, make_folder

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid


class LeaderLock:
    """Held by the one process of the node that does a certain work: whoever asks first has it until it ends.

    Parameters
    ----------
    path
        The file that is locked; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)

    def is_mine(self) -> bool:
        """Take it if it is free; whether this process has it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Leave it to others."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def take_slot(path: Path, slots: int) -> int | None:
    """A descriptor that holds one of `slots` slots until it is closed, or None where all are taken.

    Each slot is a byte of the file under a lock of the open file description (fcntl(2), F_OFD_SETLK): it counts across
    processes, and a killed one gives its slots back.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    for slot in range(slots):
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, slot, 1, 0))
        except BlockingIOError:
            continue
        return fd
    os.close(fd)
    return None
