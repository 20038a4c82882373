"""Work that goes on in the background: one loop in one thread, which no failure ends.

Everything in the node that is done again and again runs in a `Loop`: decisions, deliveries, the import of receipts,
retention. A round that fails is logged once, tried again after a pause, and logged once more when it works again; in
between, `problem` says so to the health page. A database that is away stops nearly all of them: that is one line for
the process, and one when it is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from node.errors import PeerUnavailable
from node.progress import tell_by

log = logging.getLogger(__name__)

RETRY_S = 1.0  # after a round that failed
LONGEST_S = 900.0  # without a sign of life, until a round is taken to be stuck

Work = Callable[[], float | None]


def growing_pause_s(failures: int, first_s: float, longest_s: float) -> float:
    """How long to wait after so many failures in a row: `first_s` after the first, and after each twice as long."""
    return min(first_s * 2.0 ** min(failures - 1, 30), longest_s)


class Outage:
    """Whether the database is away, as those who wait for it find: one line when it goes, one when all work again."""

    def __init__(self) -> None:
        self.level = logging.ERROR  # of the line when it goes
        self._lock = threading.Lock()
        self._waiting: set[object] = set()
        self._since = 0.0

    def begin(self, who: object, reason: str) -> None:
        """`who` cannot use the database."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
                log.log(self.level, "database away", extra={"reason": reason})
            self._waiting.add(who)

    def end(self, who: object) -> None:
        """`who` can use it, or needs it no more."""
        with self._lock:
            if who in self._waiting:
                self._waiting.remove(who)
                if not self._waiting:
                    seconds = round(time.monotonic() - self._since, 1)
                    log.log(min(self.level, logging.INFO), "database back", extra={"seconds": seconds})


database_outage = Outage()
"""Of this process."""


def is_away(error: BaseException | None) -> bool:
    """Whether the error says that the database cannot be reached or cannot work, and not that it was told nonsense."""
    return isinstance(error, OperationalError | InterfaceError)


class Loop:
    """Calls `work` again and again in a thread of its own, from `start` to `stop`.

    Parameters
    ----------
    name
        What the loop does, in two or three words: for the log, for `problem`, and as the thread's name.
    work
        Does what is due now. It may return the seconds until it is to be called again; None means `every_s`.
        Whatever it raises costs this round only.
    every_s
        Seconds between two rounds; None waits for `wake`.
    first_s
        Seconds until the first round.
    retry_s
        Seconds after a round that failed.
    last_round
        Whether `stop` has one more round made, for what came in meanwhile.
    longest_s
        Seconds that a round may last without a call of `node.progress.goes_on`, before `problem` says that it is stuck.
    clock
        Seconds that only go up.
    """

    def __init__(
        self,
        name: str,
        work: Work,
        *,
        every_s: float | None,
        first_s: float | None = 0.0,
        retry_s: float = RETRY_S,
        last_round: bool = False,
        longest_s: float = LONGEST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._work = name, work
        self._every_s, self._first_s, self._retry_s, self._last_round = every_s, first_s, retry_s, last_round
        self._longest_s, self._clock = longest_s, clock
        self._busy_since: float | None = None  # the last sign of life of the round under way
        self.stopping = threading.Event()
        """Set by `stop`: a long round looks at it and ends early."""
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure = ""  # the kind of what failed last, until a round works again
        self._failing_since = 0.0
        self._told = False  # whether the log has a line on it

    def start(self) -> None:
        """Begin; also again after `stop`."""
        self.stopping.clear()
        self._wake.clear()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> None:
        """End after the round under way. One that lasts longer than `timeout_s` is left to end with the process."""
        self.stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        database_outage.end(self)

    @property
    def alive(self) -> bool:
        """Whether its thread is there: also after `stop`, until the round under way has ended."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Have the next round made now, or right after the one under way."""
        self._wake.set()

    def goes_on(self) -> None:
        """Take note that one more of the many things is done that a round has to do; nothing between rounds."""
        if self._busy_since is not None:
            self._busy_since = self._clock()

    def problem(self) -> str | None:
        """Why the work is not done at the moment; None if it is."""
        if self._thread is None or not self._thread.is_alive():
            return f"{self._name}: not running"
        busy_since = self._busy_since
        if busy_since is not None and (silent_s := self._clock() - busy_since) > self._longest_s:
            return f"{self._name}: stuck, nothing has gone on for {silent_s:.0f} s"
        failure = self._failure
        return f"{self._name}: {failure}, tried again every {self._retry_s:g} s" if failure else None

    def _run(self) -> None:
        tell_by(self.goes_on)
        pause_s = self._first_s
        while True:
            self._wake.wait(pause_s)
            self._wake.clear()
            if self.stopping.is_set():
                break
            pause_s = self._surviving_round()
        if self._last_round:
            self._surviving_round()

    def _surviving_round(self) -> float | None:
        """As `_guarded_round`; also where there is not even the memory to tell of a failure."""
        self._busy_since = self._clock()
        try:
            return self._guarded_round()
        except BaseException as error:  # noqa: BLE001 (the thread goes on whatever is raised)
            self._failure = type(error).__name__
            if not self._told:
                with suppress(BaseException):  # else `problem` alone tells of it, and the log when it fails again
                    log.error("background work failed", extra=self._facts())
                    self._told = True
            return self._retry_s
        finally:
            self._busy_since = None

    def _guarded_round(self) -> float | None:
        """Make one round; the seconds until the next one."""
        try:
            pause_s = self._work()
        except (SQLAlchemyError, OSError, PeerUnavailable) as error:  # outside of this process: no traceback helps
            news = self._is_news(error) or not self._told
            if is_away(error):
                database_outage.begin(self, self._failure)
                self._told = False
            elif news:
                log.error("background work waits", extra=self._facts())
                self._told = True
            return self._retry_s
        except BaseException as error:  # the worker's loop: a bug costs this round, and is seen; native code raises any
            if self._is_news(error) or not self._told:
                log.exception("background work failed", extra=self._facts())
                self._told = True
            return self._retry_s
        database_outage.end(self)
        if self._failure:
            seconds = round(time.monotonic() - self._failing_since, 1)
            if self._told:
                log.info("background work goes on", extra={"work": self._name, "seconds": seconds})
            self._failure, self._told = "", False
        return self._every_s if pause_s is None else pause_s

    def _is_news(self, error: BaseException) -> bool:
        """Whether this is the first failure of its kind in a row, not one of the thousand that follow it."""
        failure = _described(error)
        news = failure != self._failure
        if not self._failure:
            self._failing_since = time.monotonic()
        self._failure = failure
        return news

    def _facts(self) -> dict[str, object]:
        return {"work": self._name, "reason": self._failure, "retry_s": self._retry_s}


def _described(error: BaseException) -> str:
    """What went wrong, without a value that a statement or a file name may hold."""
    if isinstance(error, SQLAlchemyError):
        return f"the database cannot be used ({type(error).__name__})"
    if isinstance(error, PeerUnavailable):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
