"""How much of what is being received may lie in memory at a time, over all senders."""

from __future__ import annotations

from threading import Lock

BYTES = 256 * 2**20


class Room:
    """Bytes that senders take while what they send is received and read, and give back afterwards.

    Parameters
    ----------
    size
        Bytes for all of them.
    """

    def __init__(self, size: int = BYTES) -> None:
        self._left, self._lock = size, Lock()

    def take(self, size: int) -> bool:
        """Whether there was room for `size` bytes, which are taken then."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        """They are free again."""
        with self._lock:
            self._left += size
