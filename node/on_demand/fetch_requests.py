"""The loop that fetches the studies that were asked for, one after the other, and has the pipelines run on them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from node.background import Loop
from node.database import fetches
from node.database.connection import Database
from node.database.fetches import FetchState
from node.database.tables import FetchRow
from node.errors import BeingStopped, MustWait, NodeError, PeerUnavailable, ReadingFailed, StillArriving, StudyNotFound
from node.on_demand.fetching import Fetching
from node.on_demand.requests import RunRequest, RunRequests
from node.progress import goes_on
from node.route.by_hand import UnknownName

log = logging.getLogger(__name__)

EVERY_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 1800.0  # after an attempt that failed
MOST_ATTEMPTS = 8  # about two hours and a half
RENEW_S = 15.0
SOON = timedelta(seconds=2)  # until it is asked again whether what came is complete
TOLD_AS_ARRIVING_S = 3600.0  # a study to which more keeps coming for so long is given up


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
        with Session(self._database, expire_on_commit=False) as session, session.begin():
            row = fetches.claim(session, self._clock())
        if row is None:
            return None
        try:
            if row.state == FetchState.ARRIVED:
                self._run(row)
            else:
                self._fetch(row)
        except BeingStopped:
            self._move(row, FetchState(row.state) if row.state == FetchState.ARRIVED else FetchState.WAITING)
        return 0.0

    def _fetch(self, row: FetchRow) -> None:
        try:
            images = self._fetching.fetch(row.archive, row.study_instance_uid, self._renewing(row.id))
        except StudyNotFound as error:
            self._move(row, FetchState.FAILED, reason=str(error))
        except (PeerUnavailable, KeyError) as error:
            reason = str(error) if isinstance(error, PeerUnavailable) else f"{row.archive}: is no destination any more"
            if row.attempts + 1 >= MOST_ATTEMPTS or isinstance(error, KeyError):
                self._move(row, FetchState.FAILED, reason=reason)
                return
            pause_s = min(FIRST_PAUSE_S * 2.0**row.attempts, LONGEST_PAUSE_S)
            later = timedelta(seconds=pause_s)
            self._move(row, FetchState.WAITING, reason=reason, later=later, failed_once_more=True)
        else:
            log.info("study fetched", extra={"study_instance_uid": row.study_instance_uid, "images": images})
            self._move(row, FetchState.ARRIVED)

    def _run(self, row: FetchRow) -> None:
        """Have the pipeline run, once all that came is decided about."""
        try:
            made = self._requests.submit(RunRequest.model_validate(row.asked))
        except (StillArriving, MustWait) as error:
            if isinstance(error, BeingStopped):
                raise
            if (self._clock() - row.created).total_seconds() > TOLD_AS_ARRIVING_S:
                self._move(row, FetchState.FAILED, reason=str(error))
            else:
                self._move(row, FetchState.ARRIVED, reason=str(error), later=SOON)
        except (UnknownName, StudyNotFound, ReadingFailed) as error:
            self._move(row, FetchState.FAILED, reason=str(error))
        except NodeError as error:
            self._move(row, FetchState.FAILED, reason=str(error))
        else:
            jobs = [one.job_id for one in made if one.job_id and not one.problem]
            problems = "; ".join(f"{one.about}: {one.problem}" for one in made if one.problem)
            state = FetchState.DONE if jobs else FetchState.FAILED
            self._move(row, state, reason=problems, jobs=jobs)

    def _move(self, row: FetchRow, state: FetchState, **more: object) -> None:
        if state is FetchState.FAILED:
            log.warning("study not run", extra={"study_instance_uid": row.study_instance_uid, **more})
        with Session(self._database) as session, session.begin():
            fetches.move(session, row.id, state, self._clock(), **more)  # type: ignore[arg-type]

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
