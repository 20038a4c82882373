"""Jobs that wait while every worker is at something long: looked at before their turn, as some are through at once."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable

from node.background import Loop

LOOK_S = 0.25
LONG_S = 0.5  # that all workers have been at what they are at; where they go from job to job, nobody waits for long
MOST = 100_000  # jobs that are remembered; others are looked at when their turn comes


class EarlyChecks:
    """Looks at each job that waits, once, the latest first. Nothing is lost with it: a job that it missed has its turn.

    Parameters
    ----------
    busy_s
        For how many seconds all workers have been at what they are at; 0 where one is free.
    look
        Looks at a job, by its id.
    """

    def __init__(self, busy_s: Callable[[], float], look: Callable[[str], None]) -> None:
        self._busy_s, self._look = busy_s, look
        self._due: deque[str] = deque(maxlen=MOST)  # the latest last
        self._known: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self._loop = Loop("checks of waiting jobs", self._round, every_s=LOOK_S)
        self.start, self.stop = self._loop.start, self._loop.stop

    def add(self, job_id: str) -> None:
        """A job has just been queued."""
        with self._lock:
            self._due.append(job_id)
            self._known[job_id] = None
            if len(self._known) > MOST:
                self._known.popitem(last=False)

    def add_unknown(self, job_ids: Iterable[str]) -> None:
        """These jobs wait; those that were looked at before are not looked at again."""
        for job_id in job_ids:
            if job_id not in self._known:
                self.add(job_id)

    def _round(self) -> float | None:
        """Look at the next job, if it is time to; then go on at once."""
        if not self._due or self._busy_s() < LONG_S:
            return None
        self._look(self._due.pop())
        return 0.0
