"""Reads headers of stored series for a trial of routes, where no decision noted what they ask: so many, so long."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Event, Lock, Thread

from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.database.connection import Database
from node.errors import MustWait, ReadingFailed, StillArriving, StudyNotFound
from node.route.completion import Complete, settled
from node.route.known import Known, known_of_facts
from node.route.stored_facts import StoredFacts
from node.route.trial import Failed, Place

MOST_SERIES = 2000  # of one trial
LONGEST_S = 300.0
NOT_READ = "not read: a trial reads no more"


def read_headers(
    facts: StoredFacts,
    database: Database,
    to_read: Mapping[str, frozenset[str]],
    keys: frozenset[str],
    *,
    note: Callable[[Place, Known | Failed], object],
    stop: Event | None = None,
    most: int = MOST_SERIES,
    longest_s: float = LONGEST_S,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Read what a trial left open, the latest study first; nothing is written down but by `note`.

    Parameters
    ----------
    facts
        Reads the headers, apart from this process.
    to_read
        By study: series.
    keys
        What is asked of them.
    note
        Takes what is known of a series then, or why it could not be read.
    stop
        Ends it before the next series.
    most, longest_s
        How many series are read, and for how long it goes on with another one; the rest is noted as not read.
    clock
        Seconds that only go up.
    """
    began, read = clock(), 0
    for study, names in to_read.items():
        parts: dict[str | None, Complete] | None = None
        for name in sorted(names):
            if stop is not None and stop.is_set():
                return
            if read >= most or clock() - began > longest_s:
                note((study, name), Failed(f"{NOT_READ} than {counted(most, 'series')}, for {longest_s:g} s"))
                continue
            read += 1
            try:
                if parts is None:
                    with Session(database) as session:
                        parts = {part.series_instance_uid: part for part in settled(session, study)}
                note((study, name), _of_series(facts, parts.get(name), keys, name))
            except (StudyNotFound, StillArriving, MustWait, ReadingFailed) as error:
                note((study, name), Failed(_in_short(error)))


def _of_series(facts: StoredFacts, part: Complete | None, keys: frozenset[str], name: str) -> Known | Failed:
    if part is None or not part.sop_instance_uids:
        return Failed("its images were deleted or rejected meanwhile")
    _, (found,) = facts.of(part, keys, dry_run=True)
    return known_of_facts(found, keys, next(iter(found.unread.values()), ""))


def _in_short(error: Exception) -> str:
    """The reason without the study, so that those of many studies are one."""
    if isinstance(error, StudyNotFound):
        return "its images were deleted"
    return "it is still arriving" if isinstance(error, StillArriving) else str(error)


class TrialReader:
    """Reads for trials in a thread, and keeps what it found for a while: a form is sent again at every keystroke.

    Parameters
    ----------
    facts
        Reads the headers.
    database
        The node's records.
    keep_s
        How long what was read is kept, and not read again.
    clock
        Seconds that only go up.
    """

    def __init__(
        self,
        facts: StoredFacts,
        database: Database,
        *,
        keep_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._facts, self._database, self._keep_s, self._clock = facts, database, keep_s, clock
        self._lock, self._stop = Lock(), Event()
        self._closed, self._reading = False, frozenset[str]()
        self._found: dict[frozenset[str], dict[Place, Known | Failed]] = {}
        self._begun: dict[frozenset[str], float] = {}
        self._thread: Thread | None = None

    def found(self, keys: frozenset[str]) -> dict[Place, Known | Failed]:
        """What was read for these keys, or for more."""
        with self._lock:
            for old in [one for one, at in self._begun.items() if self._clock() - at > self._keep_s]:
                if not self.is_busy:
                    del self._begun[old], self._found[old]
            found: dict[Place, Known | Failed] = {}
            for read, of in self._found.items():
                if keys <= read:
                    found |= of
            return found

    @property
    def is_busy(self) -> bool:
        """Whether it is reading."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, to_read: Mapping[str, frozenset[str]], keys: frozenset[str]) -> bool:
        """Begin to read; False where it is reading: for other keys it ends then, so that this has its turn next."""
        with self._lock:
            if self._closed:
                return False
            if self.is_busy:
                if not keys <= self._reading:
                    self._stop.set()
                return False
            found = self._found.setdefault(keys, {})
            self._begun.setdefault(keys, self._clock())
            self._stop, self._reading = Event(), keys
            self._thread = Thread(
                target=self._read, args=(to_read, keys, found, self._stop), name="trial of routes", daemon=True
            )
            self._thread.start()
            return True

    def stop(self, timeout_s: float | None = None) -> None:
        """End after the series that is being read, and read no more; waits so long for it, by default until it ends."""
        with self._lock:
            self._closed = True
            self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _read(
        self,
        to_read: Mapping[str, frozenset[str]],
        keys: frozenset[str],
        found: dict[Place, Known | Failed],
        stop: Event,
    ) -> None:
        def note(place: Place, known: Known | Failed) -> None:
            with self._lock:
                found[place] = known

        read_headers(self._facts, self._database, to_read, keys, note=note, stop=stop)
