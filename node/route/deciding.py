"""The loop that asks what is complete and dispatches it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from node.background import Loop
from node.route.completion import Completion
from node.route.dispatch import Dispatcher

log = logging.getLogger(__name__)

POLL_S = 0.05  # how often completion is asked for series, whose count may be known
STUDIES_EVERY = 10  # polls, until it is asked for studies too, which always wait for their quiet time
RETRY_S = 60.0  # until a series that could not be decided about is tried again


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
    """

    def __init__(
        self, completion: Completion, dispatcher: Dispatcher, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._completion, self._dispatcher, self._clock = completion, dispatcher, clock
        self._put_off: dict[tuple[str, str | None], float] = {}  # what failed, and until when it is left alone
        self._polls = 0
        self._loop = Loop("decisions", self._work, every_s=POLL_S)

    def start(self) -> None:
        """Begin to ask."""
        self._loop.start()

    def stop(self) -> None:
        """End after the series or study under way."""
        self._loop.stop()

    def problem(self) -> str | None:
        """Why no decisions are made at the moment, or None."""
        return self._loop.problem()

    def dispatch_complete(self, *, studies: bool = True) -> None:
        """Dispatch every series, and with `studies` every study, that is complete now.

        Raises
        ------
        SQLAlchemyError
            If the database cannot be reached; everything else is recorded, and put off for a minute.
        """
        for complete in self._completion.poll(studies=studies):
            key = (complete.study_instance_uid, complete.series_instance_uid)
            if self._loop.stopping.is_set() or self._put_off.get(key, 0.0) > self._clock():
                continue
            try:
                self._dispatcher.dispatch(complete)
                self._put_off.pop(key, None)
            except SQLAlchemyError:
                raise
            except Exception as error:  # the worker's loop: whatever one study holds, the next is decided about
                log.exception("cannot decide", extra={"study_instance_uid": key[0], "series_instance_uid": key[1]})
                self._dispatcher.give_up(complete, error)
                self._put_off[key] = self._clock() + RETRY_S

    def _work(self) -> None:
        self._polls += 1
        self.dispatch_complete(studies=self._polls % STUDIES_EVERY == 0)
