"""How much of what is being received may lie in memory at a time, over all senders."""

from __future__ import annotations

from threading import Condition

BYTES = 160 * 2**20  # of messages and bundles of records, whichever way they come; two bundles of the largest size
SMALL_BYTES = 64 * 1024  # what is no larger needs no room, and is never refused for want of it


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


class Share:
    """What one sender holds of a room: as much as has come of what it sends.

    Parameters
    ----------
    room
        Whose room.
    """

    def __init__(self, room: Room) -> None:
        self._room, self._held = room, 0

    def hold(self, size: int) -> bool:
        """Hold room for `size` bytes, more or less than before; whether there is room, or else nothing changes."""
        size = max(0, size - SMALL_BYTES)
        if size > self._held and not self._room.take(size - self._held):
            return False
        if size < self._held:
            self._room.give_back(self._held - size)
        self._held = size
        return True
