"""How much of what is being received may lie in memory at a time, over all senders."""

from __future__ import annotations

from threading import Condition

BYTES = 256 * 2**20


class Room:
    """Bytes that senders take while what they send is received and read, and give back afterwards.

    Parameters
    ----------
    size
        Bytes for all of them.
    """

    def __init__(self, size: int = BYTES) -> None:
        self._left, self._changed = size, Condition()

    def take(self, size: int, within_s: float = 0.0) -> bool:
        """Whether there was room for `size` bytes, which are taken then.

        Parameters
        ----------
        within_s
            How long to wait for it.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: size <= self._left, within_s):
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        """They are free again."""
        with self._changed:
            self._left += size
            self._changed.notify_all()
