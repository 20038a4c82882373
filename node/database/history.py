"""What happened is told for as long as the configuration says: decisions, requests, timelines, alerts, audit and so on.

Jobs, what they made and where that went stay for ever: by them the same images make no second result, and no UID is
sent with other bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Delete, delete, exists, literal, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from node.background import Loop
from node.config import Configuration, HistorySettings
from node.database.alert_notices import NoticeState
from node.database.alerts import AlertState
from node.database.callbacks import CallbackState
from node.database.connection import Database
from node.database.fetches import OPEN
from node.database.states import CommitmentState
from node.database.tables import (
    ERASED,
    AlertNoticeRow,
    AlertRow,
    AssociationRow,
    AuditRow,
    CallbackRow,
    CommitmentRow,
    DecisionRow,
    EventRow,
    FetchRow,
    InstanceRow,
    Instant,
)
from node.progress import goes_on

log = logging.getLogger(__name__)

EVERY_S = 6 * 3600.0
RETRY_S = 60.0  # after the database did not answer
PAGE = 500  # rows that are looked at, and deleted, in one transaction: others write in between


Place: TypeAlias = tuple[datetime, Any]
"""When a row happened, and its key."""


@dataclass(frozen=True)
class _Kind:
    """The rows of one table: when each happened, what tells it from others of that moment, and which may go."""

    name: str
    at: InstrumentedAttribute[datetime]
    key: InstrumentedAttribute[Any]
    days: int
    delete: Delete  # of those that may go
    in_time: bool = True  # there is an index of moments; else the key grows with time

    def page(self, session: Session, before: datetime, after: Place | None) -> list[Place]:
        """The next rows behind a place, with their moment and key; none that is younger than `before`."""
        order = (self.at, self.key) if self.in_time else (self.key,)
        query = select(self.at, self.key).order_by(*order).limit(PAGE)
        if self.in_time:
            query = query.where(self.at < before)
        if after is not None and self.in_time:
            query = query.where(tuple_(self.at, self.key) > tuple_(literal(after[0], Instant), after[1]))
        elif after is not None:
            query = query.where(self.key > after[1])
        return [(at, key) for at, key in session.execute(query) if at < before]

    def remove(self, session: Session, keys: Sequence[Any]) -> int:
        """Delete those of the rows that may go; how many there were."""
        gone = session.execute(
            self.delete.where(self.key.in_(keys)).returning(self.key),
            execution_options={"synchronize_session": False},
        )
        return len(gone.all())


class History:
    """Deletes what is older than the configuration keeps it.

    Parameters
    ----------
    clock
        The time, with its zone.
    """

    def __init__(self, database: Database, settings: HistorySettings, clock: Callable[[], datetime]) -> None:
        self._database, self._clock = database, clock
        self._kinds = _kinds(settings)
        self.loop = Loop("removal of old history", self._work, every_s=EVERY_S, retry_s=RETRY_S)
        """Looks a few times a day, once it is started."""

    def reconfigure(self, configuration: Configuration) -> None:
        """Keep for as long as it says from now on."""
        self._kinds = _kinds(configuration.history)

    def _work(self) -> None:
        self.remove_old()

    def remove_old(self) -> dict[str, int]:
        """Delete what is due now; how many rows, by kind."""
        gone = {kind.name: self._remove(kind) for kind in self._kinds}
        if any(gone.values()):
            log.info("old history removed", extra=gone)
        return gone

    def _remove(self, kind: _Kind) -> int:
        before = self._clock() - timedelta(days=kind.days)
        gone = 0
        place: Place | None = None
        while not self.loop.stopping.is_set():
            goes_on()
            with Session(self._database) as session, session.begin():
                page = kind.page(session, before, place)
                gone += kind.remove(session, [key for _, key in page])
            if len(page) < PAGE:
                break
            place = page[-1]  # what may not go yet is passed over
        return gone


def _kinds(settings: HistorySettings) -> tuple[_Kind, ...]:
    stored = exists().where(InstanceRow.association_id == AssociationRow.id)  # routes ask by whom an image came
    audit = delete(AuditRow).where(AuditRow.what != ERASED)  # by those, a study sent again gets UIDs of its own
    return (
        _Kind("decisions", DecisionRow.decided, DecisionRow.id, settings.decisions_days, delete(DecisionRow)),
        _Kind("events", EventRow.at, EventRow.id, settings.events_days, delete(EventRow), in_time=False),
        _Kind(
            "associations",
            AssociationRow.started,
            AssociationRow.id,
            settings.associations_days,
            delete(AssociationRow).where(AssociationRow.ended.is_not(None), ~stored),
        ),
        _Kind(
            "commitments",
            CommitmentRow.created,
            CommitmentRow.transaction_uid,
            settings.associations_days,
            delete(CommitmentRow).where(CommitmentRow.state != CommitmentState.WAITING),
        ),
        _Kind(
            "requests",
            FetchRow.created,
            FetchRow.id,
            settings.decisions_days,
            delete(FetchRow).where(FetchRow.state.not_in(OPEN)),
        ),
        _Kind(
            "callbacks",
            CallbackRow.created,
            CallbackRow.id,
            settings.decisions_days,
            delete(CallbackRow).where(CallbackRow.state != CallbackState.WAITING),
        ),
        _Kind(
            "alert notices",
            AlertNoticeRow.created,
            AlertNoticeRow.id,
            settings.events_days,
            delete(AlertNoticeRow).where(AlertNoticeRow.state != NoticeState.WAITING),
        ),
        _Kind(
            "alerts",
            AlertRow.since,
            AlertRow.id,
            settings.events_days,
            delete(AlertRow).where(
                AlertRow.state == AlertState.OVER, ~exists().where(AlertNoticeRow.alert_id == AlertRow.id)
            ),
        ),
        _Kind("audit", AuditRow.at, AuditRow.id, settings.audit_days, audit),
    )
