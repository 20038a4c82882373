"""Sign-ins that fail make the next one wait, by name and by address; nobody else waits for it.

Counted in memory: whoever tries passwords could otherwise have the database written as often as they like. A restart of
the node forgets the counts, and of several nodes each has its own; both cost a guesser far more than they give.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from node.background import growing_pause_s

FREE_OF_NAME, FREE_OF_ADDRESS = 5, 20  # failures without a pause: people mistype, and many may sit behind one proxy
FIRST_S, LONGEST_S = 2.0, 900.0
FORGOTTEN_S = 3600.0  # after the last failure
KEPT = 20_000  # names and addresses; of more the one that failed first is forgotten


@dataclass
class _Count:
    failures: int = 0
    last: float = 0.0
    until: float = 0.0  # no attempt before


class Attempts:
    """Who has to wait.

    A name waits wherever somebody tries it, but for addresses from which its user has signed in before: these have a
    count of their own. So nobody keeps a user out by trying their name.

    Parameters
    ----------
    clock
        Seconds that only go up.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: OrderedDict[tuple[str, ...], _Count] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()  # name and address of sign-ins that went well

    def begin(self, name: str, address: str) -> float:
        """Count an attempt as failed until `succeeded` says otherwise; many at a time count too.

        Returns
        -------
        float
            Seconds that it has to wait; then it is none, and is not counted. 0 if it may be made now.
        """
        now = self._clock()
        with self._lock:
            keys = self._keys(name, address)
            waits = [self._counts[key].until - now for key, _ in keys if key in self._counts]
            if (wait_s := max(waits, default=0.0)) > 0:
                return wait_s
            for key, free in keys:
                count = self._fresh(key, now)
                count.failures += 1
                count.last = now
                if (over := count.failures - free) >= 0:
                    count.until = now + growing_pause_s(over + 1, FIRST_S, LONGEST_S)
            return 0.0

    def succeeded(self, name: str, address: str) -> None:
        """Take back what `begin` counted, and what was counted of the name before."""
        with self._lock:
            for key, _ in self._keys(name, address):
                if key[0] != "address":
                    self._counts.pop(key, None)
                elif (count := self._counts.get(key)) is not None:  # others behind it may be guessing
                    count.failures -= 1
                    count.until = min(count.until, self._clock())
            self._known[name, address] = None
            self._known.move_to_end((name, address))
            while len(self._known) > KEPT:
                self._known.popitem(last=False)

    def not_made(self, name: str, address: str) -> None:
        """Take back what `begin` counted of an attempt that was not made after all."""
        now = self._clock()
        with self._lock:
            for key, _ in self._keys(name, address):
                if (count := self._counts.get(key)) is not None:
                    count.failures -= 1
                    count.until = min(count.until, now)

    def _keys(self, name: str, address: str) -> list[tuple[tuple[str, ...], int]]:
        """What an attempt counts for, and how many failures of each are free."""
        of_name = ("name at", name, address) if (name, address) in self._known else ("name", name)
        return [(of_name, FREE_OF_NAME), (("address", address), FREE_OF_ADDRESS)]

    def _fresh(self, key: tuple[str, ...], now: float) -> _Count:
        count = self._counts.pop(key, None)
        if count is None or now - count.last > FORGOTTEN_S:
            count = _Count()
        self._counts[key] = count  # the latest at the end
        while len(self._counts) > KEPT:
            self._counts.popitem(last=False)
        return count
