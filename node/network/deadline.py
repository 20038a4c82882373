"""An end to the time that is spent on one archive."""

from __future__ import annotations

import time
from collections.abc import Callable

from node.errors import PeerUnavailable


class Deadline:
    """The moment at which asking an archive is over.

    Parameters
    ----------
    name
        Of the archive, for the message.
    seconds
        How long all of it may take.
    clock
        Seconds that only go up.
    """

    def __init__(self, name: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._seconds, self._clock = name, seconds, clock
        self._end = clock() + seconds

    @property
    def is_over(self) -> bool:
        """Whether there is no time left."""
        return self._clock() >= self._end

    def left(self) -> float:
        """Seconds that are left.

        Raises
        ------
        PeerUnavailable
            If there are none.
        """
        left = self._end - self._clock()
        if left <= 0:
            raise PeerUnavailable(f"{self._name}: did not answer within {self._seconds:g} s")
        return left
