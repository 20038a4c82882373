"""The loop that tells who asked for it how a request ended: at least once, under an id that stays."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.background import Loop, growing_pause_s
from node.config import CallbackReceiver, Configuration, RunRequestSettings
from node.database import callbacks
from node.database.callbacks import CallbackState
from node.database.connection import Database
from node.database.fetches import OPEN, FetchState
from node.database.jobs import JobState
from node.database.queries import UNDER_WAY
from node.database.tables import CallbackRow
from node.errors import JobNotFound, PeerUnavailable
from node.network.webhook_client import AWAY, WebhookClient
from node.on_demand.callback_receivers import receiver_of
from node.on_demand.requests import RequestState, RunRequests
from node.route.by_hand import UnknownName

log = logging.getLogger(__name__)

EVERY_S = 1.0
STOP_S = 5.0  # at the end of the node, for what is being told
FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 1800.0  # after an attempt that failed
MOST_ATTEMPTS = 52  # within about a day
SOONEST_S, LATEST_S = 1.0, 30.0  # until it is asked again whether the jobs have ended; longer for those that take long


@dataclass(frozen=True)
class _End:
    """What became of a callback in a round."""

    state: CallbackState
    answer: str = ""
    later: timedelta = timedelta()
    failed_once_more: bool = False


class Callbacks:
    """Takes what is due from the database; several nodes may do so.

    Parameters
    ----------
    settings
        Who may be told.
    database
        The node's.
    requests
        Know how far what was asked for has come.
    clock
        The time, with its zone.
    """

    def __init__(
        self, settings: RunRequestSettings, database: Database, requests: RunRequests, clock: Callable[[], datetime]
    ) -> None:
        self._receivers: Mapping[str, CallbackReceiver] = settings.callbacks
        self._database, self._requests = database, requests
        self._clock = clock
        self._clients: dict[str, WebhookClient] = {}
        self._away: set[str] = set()  # receivers that are left alone until the others have had their turn
        self.loop = Loop("callbacks", self._work, every_s=EVERY_S)

    def reconfigure(self, configuration: Configuration) -> None:
        """Tell its receivers from the next callback on."""
        self._receivers = configuration.run_requests.callbacks
        self._clients = {}

    def stop(self) -> None:
        """End; who is being told right now may be told once more by the next node."""
        self.loop.stop(STOP_S)

    def _work(self) -> float | None:
        if not self._receivers:
            return None
        with Session(self._database, expire_on_commit=False) as session, session.begin():
            row = callbacks.claim(session, self._clock(), self._away)
        if row is None:
            self._away.clear()
            return None
        try:
            end = self._turn(row)
        except SQLAlchemyError:
            raise
        except Exception as error:  # the worker's loop: whatever one callback holds, the next is told
            log.exception("callback failed", extra={"callback": row.id})
            end = _End(CallbackState.FAILED, type(error).__name__)
        self._note(row, end)
        return 0.0

    def _turn(self, row: CallbackRow) -> _End:
        state = self._state(row)
        if state is None:
            return _End(CallbackState.FAILED, "nothing is known any more of what was asked for")
        if state.state in OPEN or any(job.state in UNDER_WAY for job in state.jobs):
            age_s = (self._clock() - row.created).total_seconds()
            pause_s = min(max(age_s / 10, SOONEST_S), LATEST_S)
            return _End(CallbackState.WAITING, row.answer, later=timedelta(seconds=pause_s))
        try:
            name, url = receiver_of(row.url, self._receivers)
        except UnknownName:
            return _End(CallbackState.FAILED, "run_requests.callbacks no longer has the address")
        try:
            answer = self._client(name).post(url, row.id, _body(row.id, state))
        except (PeerUnavailable, OSError) as error:  # OSError: a certificate that cannot be used
            self._away.add(row.receiver)
            return _later(row, str(error) if isinstance(error, PeerUnavailable) else f"{name}: {type(error).__name__}")
        if answer.is_success:
            return _End(CallbackState.TOLD, answer.phrase)
        told = f"{name}: {answer.phrase}"
        return _later(row, told) if answer.status in AWAY or answer.status >= 500 else _End(CallbackState.FAILED, told)

    def _state(self, row: CallbackRow) -> RequestState | None:
        """How far what was asked for has come; None where nothing of it is there any more."""
        if row.request:
            return self._requests.fetch_state(row.request)
        jobs = []
        for job in row.jobs:
            with suppress(JobNotFound):  # erased
                jobs.append(self._requests.state(job))
        return RequestState("", row.study_instance_uid, FetchState.DONE, "", tuple(jobs)) if jobs else None

    def _client(self, name: str) -> WebhookClient:
        if name not in self._clients:
            self._clients[name] = WebhookClient(name, f"run_requests.callbacks.{name}", self._receivers[name])
        return self._clients[name]

    def _note(self, row: CallbackRow, end: _End) -> None:
        facts = {"callback": row.id, "receiver": row.receiver, "study_instance_uid": row.study_instance_uid}
        if end.state is CallbackState.TOLD:
            log.info("callback told", extra=facts)
        elif end.state is CallbackState.FAILED:
            log.warning("callback not told", extra={**facts, "reason": end.answer})
        with Session(self._database) as session, session.begin():
            callbacks.move(
                session,
                row.id,
                end.state,
                self._clock(),
                answer=end.answer,
                later=end.later,
                failed_once_more=end.failed_once_more,
            )


def _later(row: CallbackRow, answer: str) -> _End:
    if row.attempts + 1 >= MOST_ATTEMPTS:
        return _End(CallbackState.FAILED, answer, failed_once_more=True)
    pause_s = growing_pause_s(row.attempts + 1, FIRST_PAUSE_S, LONGEST_PAUSE_S)
    return _End(CallbackState.WAITING, answer, later=timedelta(seconds=pause_s), failed_once_more=True)


def _body(callback_id: str, state: RequestState) -> bytes:
    """What is told: as GET /run says it, with one word for all of it."""
    ended = {job.state for job in state.jobs}
    if state.state == FetchState.FAILED or JobState.FAILED in ended:
        outcome = JobState.FAILED
    else:
        outcome = JobState.UNSUITABLE if JobState.UNSUITABLE in ended else JobState.DONE
    content = {"id": callback_id, **asdict(state), "request": state.request or None, "state": outcome}
    return json.dumps(content).encode()
