"""The loop that asks what is complete and dispatches it, several studies at once: one may take long to read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dicom_sr.words import counted
from node.background import LONGEST_S, Loop, growing_pause_s, is_away
from node.errors import BeingStopped, MustWait, NotWhole, ReadingFailed
from node.route.completion import Complete, Completion
from node.route.dispatch import Dispatcher

log = logging.getLogger(__name__)

POLL_S = 0.05  # how often completion is asked for series, whose count may be known
STUDIES_EVERY = 10  # polls, until it is asked for studies too, which always wait for their quiet time
RETRY_S = 60.0  # until a series that could not be decided about is tried again
AT_ONCE = 3  # studies; less than there are readers, which others need too
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0  # the same, where its images cannot be read


@dataclass(frozen=True)
class _PutOff:
    """What could not be decided about, and is left alone for a while."""

    until: float  # seconds of the clock
    attempts: int
    last_received: datetime  # what is sent again is not left alone any longer
    error: Exception
    told: bool = True


class Deciding:
    """Dispatches what is complete, until stopped; what fails costs nobody else anything.

    Parameters
    ----------
    completion
        Knows which series and studies are complete.
    dispatcher
        Makes the jobs of one of them.
    clock
        Seconds that only go up.
    correct
        Called with images whose length is another than was recorded, and stays so: corrects the records where the
        images are whole.
    """

    def __init__(
        self,
        completion: Completion,
        dispatcher: Dispatcher,
        clock: Callable[[], float] = time.monotonic,
        correct: Callable[[Collection[Path]], object] = lambda _: None,
    ) -> None:
        self._completion, self._dispatcher, self._clock, self._correct = completion, dispatcher, clock, correct
        self._put_off: dict[tuple[str, str | None], _PutOff] = {}  # forgotten at a restart, which tries all of it
        self._under_way: dict[str, Future[None]] = {}  # by Study Instance UID
        self._begun: dict[str, float] = {}  # of those, when what a thread works on was begun
        self._threads = ThreadPoolExecutor(AT_ONCE, "decisions")
        self._polls = 0
        self._loop = Loop("decisions", self._work, every_s=POLL_S)

    def start(self) -> None:
        """Begin to ask."""
        self._loop.start()

    def stop(self) -> None:
        """End after the series and studies under way; what waits for a reader ends when that is closed."""
        self._loop.stop()
        self._threads.shutdown(cancel_futures=True)

    def problem(self) -> str | None:
        """Why no decisions are made at the moment, or not while images cannot be read, or None."""
        return self._loop.problem() or self._slow(AT_ONCE) or self.unread()

    def remark(self) -> str | None:
        """About which studies no decision is made, while the others have theirs, or None."""
        return self._slow() or self._undecided(lambda error: not isinstance(error, MustWait))

    def unread(self) -> str | None:
        """Of how many studies images cannot be read now, and why; None where all can be."""
        return self._undecided(lambda error: isinstance(error, MustWait))

    def _undecided(self, of: Callable[[Exception], bool]) -> str | None:
        found = {key[0]: one.error for key, one in list(self._put_off.items()) if one.told and of(one.error)}
        if not found:
            return None
        why = _reason(next(iter(found.values())))
        return f"{counted(len(found), 'study')} cannot be decided about, tried again: {why}"

    def _slow(self, at_least: int = 1) -> str | None:
        """How many studies have been worked on for very long, and for how long; strangers read it, so it names none."""
        now = self._clock()
        slow = [now - since for since in list(self._begun.values()) if now - since > LONGEST_S]
        return (
            f"decisions: {counted(len(slow), 'study')} under way for {max(slow):.0f} s"
            if len(slow) >= at_least
            else None
        )

    def dispatch_complete(self, *, studies: bool = True, patience_s: float | None = None) -> None:
        """Dispatch every series, and with `studies` every study, that is complete now.

        Parameters
        ----------
        studies
            Whether to ask for studies too.
        patience_s
            How long to wait for what takes long to read; it goes on meanwhile. None: until all is done.

        Raises
        ------
        OperationalError, InterfaceError
            If the database cannot be reached; everything else is recorded, and put off for a while.
        """
        now = self._clock()
        left_alone = {key: one.last_received for key, one in list(self._put_off.items()) if one.until > now}
        found = self._completion.poll(studies=studies, put_off=left_alone, under_way=frozenset(self._under_way))
        still_there = left_alone.keys() | {(one.study_instance_uid, one.series_instance_uid) for one in found}
        for key in set(self._put_off) - still_there:  # erased, or decided about by another node
            if key[0] not in self._under_way and (studies or key[1] is not None):
                self._put_off.pop(key, None)
        of_study: dict[str, list[Complete]] = {}
        for complete in found:
            of_study.setdefault(complete.study_instance_uid, []).append(complete)
        for study, parts in of_study.items():
            if study not in self._under_way:  # each study's parts one after the other
                self._under_way[study] = self._threads.submit(self._dispatch, parts)
        done, _ = wait(self._under_way.values(), patience_s)
        self._under_way = {study: future for study, future in self._under_way.items() if future not in done}
        for error in [future.exception() for future in done]:
            if error is not None:
                raise error

    def _dispatch(self, parts: list[Complete]) -> None:
        study = parts[0].study_instance_uid
        try:
            for complete in parts:
                if self._loop.stopping.is_set():
                    return
                self._begun[study] = self._clock()
                self._dispatch_one(complete)
        finally:
            self._begun.pop(study, None)

    def _dispatch_one(self, complete: Complete) -> None:
        key = (complete.study_instance_uid, complete.series_instance_uid)
        began = self._clock()
        try:
            others = any(study == key[0] for study, series in list(self._put_off) if series != key[1])
            self._dispatcher.dispatch(complete, untroubled=not others)
        except BeingStopped:
            return
        except Exception as error:  # the worker's loop: whatever one study holds, the next is decided
            if is_away(error):
                raise
            self._leave_alone(complete, error, self._clock() - began)
        else:
            if (before := self._put_off.pop(key, None)) is not None and before.told:
                log.info("decided after all", extra={"study_instance_uid": key[0], "series_instance_uid": key[1]})

    def _leave_alone(self, complete: Complete, error: Exception, took_s: float) -> None:
        """Try it again later, each time after a longer pause; what is away may be back in a moment.

        The pause is as long as the try, at least: what takes long to fail leaves others half of the time.
        """
        key = (complete.study_instance_uid, complete.series_instance_uid)
        before = self._put_off.get(key)
        if before is None and isinstance(error, NotWhole):  # the receipt of one that was just replaced is on its way
            self._put_off[key] = _PutOff(self._clock() + FIRST_RETRY_S, 0, complete.last_received, error, told=False)
            return
        if isinstance(error, NotWhole):
            self._correct(error.paths)
        again = before is not None and before.told and str(before.error) == str(error)
        if not again:
            facts = {"study_instance_uid": key[0], "series_instance_uid": key[1], "reason": _reason(error)}
            log.error("cannot decide", exc_info=not isinstance(error, MustWait | ReadingFailed), extra=facts)
        attempts = before.attempts + 1 if before else 1
        first_s = FIRST_RETRY_S if isinstance(error, MustWait) else RETRY_S
        pause_s = max(growing_pause_s(attempts, first_s, LONGEST_RETRY_S), took_s)
        self._put_off[key] = _PutOff(self._clock() + pause_s, attempts, complete.last_received, error)
        self._dispatcher.give_up(complete, error, again=again)

    def _work(self) -> None:
        self._polls += 1
        self.dispatch_complete(studies=self._polls % STUDIES_EVERY == 0, patience_s=POLL_S)


def _reason(error: Exception) -> str:
    """In words that quote no value."""
    return str(error) if isinstance(error, MustWait | ReadingFailed) else type(error).__name__
