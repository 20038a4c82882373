"""The loop that fetches the studies that were asked for, one after the other, and has the pipelines run on them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.background import Loop
from node.database import fetches
from node.database.connection import Database
from node.database.fetches import FetchState
from node.database.tables import FetchRow
from node.errors import BeingStopped, MustWait, NodeError, PeerUnavailable, StillArriving, StudyNotFound
from node.on_demand.fetching import Fetching
from node.on_demand.requests import RunRequest, RunRequests
from node.progress import goes_on
from node.route.by_hand import UnknownName

log = logging.getLogger(__name__)

EVERY_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 1800.0  # after an attempt that failed
MOST_ATTEMPTS = 8  # within about an hour
RENEW_S = 15.0
SOON = timedelta(seconds=2)  # until it is asked again whether what came is complete
LONGEST_ARRIVAL = timedelta(hours=1)  # a study to which more keeps coming for so long is given up


@dataclass(frozen=True)
class _End:
    """What became of a request in a round."""

    state: FetchState
    reason: str = ""
    jobs: tuple[str, ...] = ()
    later: timedelta = timedelta()
    failed_once_more: bool = False


class FetchRequests:
    """Takes what is due from the database; several nodes may do so.

    Parameters
    ----------
    database
        The node's.
    fetching
        Fetches a study.
    requests
        Has the pipelines run.
    clock
        The time, with its zone.
    """

    def __init__(
        self, database: Database, fetching: Fetching, requests: RunRequests, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._fetching, self._requests, self._clock = database, fetching, requests, clock
        self.loop = Loop("fetching of studies", self._work, every_s=EVERY_S)

    def stop(self) -> None:
        """End what is under way; the next node does it again."""
        self._fetching.stop()
        self.loop.stop()

    def _work(self) -> float | None:
        if not self._fetching.archives:
            return None
        with Session(self._database, expire_on_commit=False) as session, session.begin():
            row = fetches.claim(session, self._clock())
        if row is None:
            return None
        try:
            end = self._run(row) if row.state == FetchState.ARRIVED else self._fetch(row)
        except BeingStopped:
            end = _End(FetchState.ARRIVED if row.state == FetchState.ARRIVED else FetchState.WAITING)
        except SQLAlchemyError:
            raise
        except Exception as error:  # the worker's loop: whatever one request holds, the next is worked off
            log.exception("request failed", extra={"study_instance_uid": row.study_instance_uid})
            end = _End(FetchState.FAILED, type(error).__name__)
        self._note(row, end)
        return 0.0

    def _fetch(self, row: FetchRow) -> _End:
        try:
            images = self._fetching.fetch(row.archive, row.study_instance_uid, self._renewing(row.id))
        except (StudyNotFound, UnknownName) as error:
            return _End(FetchState.FAILED, str(error))
        except PeerUnavailable as error:
            if row.attempts + 1 >= MOST_ATTEMPTS:
                return _End(FetchState.FAILED, str(error))
            pause = timedelta(seconds=min(FIRST_PAUSE_S * 2.0**row.attempts, LONGEST_PAUSE_S))
            return _End(FetchState.WAITING, str(error), later=pause, failed_once_more=True)
        log.info("study fetched", extra={"study_instance_uid": row.study_instance_uid, "images": images})
        return _End(FetchState.ARRIVED)

    def _run(self, row: FetchRow) -> _End:
        """Have the pipeline run, once all that came is decided about."""
        try:
            made = self._requests.submit(RunRequest.model_validate(row.asked))
        except BeingStopped:
            raise
        except (StillArriving, MustWait) as error:
            if self._clock() - row.updated > LONGEST_ARRIVAL:
                return _End(FetchState.FAILED, str(error))
            return _End(FetchState.ARRIVED, str(error), later=SOON)
        except NodeError as error:
            return _End(FetchState.FAILED, str(error))
        jobs = tuple(one.job_id for one in made if one.job_id and not one.problem)
        problems = "; ".join(f"{one.about}: {one.problem}" for one in made if one.problem)
        return _End(FetchState.DONE if jobs else FetchState.FAILED, problems, jobs)

    def _note(self, row: FetchRow, end: _End) -> None:
        if end.state is FetchState.FAILED:
            log.warning("study not run", extra={"study_instance_uid": row.study_instance_uid, "reason": end.reason})
        with Session(self._database) as session, session.begin():
            fetches.move(
                session,
                row.id,
                end.state,
                self._clock(),
                reason=end.reason,
                jobs=end.jobs,
                later=end.later,
                failed_once_more=end.failed_once_more,
            )

    def _renewing(self, request_id: str) -> Callable[[], None]:
        """Says now and then that this node is still at it."""
        last = time.monotonic()

        def renew() -> None:
            nonlocal last
            goes_on()
            if time.monotonic() - last > RENEW_S:
                last = time.monotonic()
                with Session(self._database) as session, session.begin():
                    fetches.renew(session, request_id, self._clock())

        return renew
