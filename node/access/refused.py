"""Sign-ins that were refused, in the audit trail: counted within the hour, since whoever tries may try often.

The first of an hour is written at once. Further ones are counted in memory, and written every few seconds as long as
anybody asks for anything, and at the end.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.tables import SIGN_IN_REFUSED, AuditRow

SPACE = uuid.UUID("5b9b7d0e-5f0a-4a8e-9f0d-2d6f3f6c1a77")  # of the names by which counts are found again
WRITE_S = 5.0


class _Kind(NamedTuple):
    hour: datetime
    reason: str
    who: str  # a user's name; of names that no user has nothing is written: somebody may have typed a password there

    @property
    def key(self) -> str:
        return str(uuid.uuid5(SPACE, f"{self.hour.isoformat()}|{self.reason}|{self.who}"))


class RefusedSignIns:
    """Counts them.

    Parameters
    ----------
    clock
        The time, with its zone.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._waiting: dict[_Kind, tuple[int, str]] = {}  # how many more, and from where the last one came
        self._written = datetime.min.replace(tzinfo=UTC)
        self._known: set[_Kind] = set()  # of this hour

    def add(self, reason: str, address: str, who: str = "") -> None:
        """Count one.

        Parameters
        ----------
        reason
            One of a few sentences.
        address
            Where it came from.
        who
            The user, where there is one of that name.
        """
        kind = _Kind(self._clock().replace(minute=0, second=0, microsecond=0), reason, who)
        with self._lock:
            is_first = kind not in self._known
            self._known = {one for one in self._known if one.hour == kind.hour} | {kind}
            count, _ = self._waiting.get(kind, (0, ""))
            self._waiting[kind] = (count + 1, address)
        if is_first:
            self.write()
        else:
            self.write_if_due()

    def write_if_due(self) -> None:
        """Write what was counted, unless that was done a moment ago."""
        if self._waiting and self._clock() - self._written >= timedelta(seconds=WRITE_S):
            self.write()

    def write(self) -> None:
        """Write what was counted."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._written = self._clock()
        try:
            while waiting:
                kind, (count, address) = next(iter(waiting.items()))
                if not self._more(kind, count, address):
                    self._first(kind, count, address)
                del waiting[kind]
        finally:  # what a database that is away has not taken is written later
            with self._lock:
                for kind, (count, address) in waiting.items():
                    since, latest = self._waiting.get(kind, (0, address))
                    self._waiting[kind] = (since + count, latest)

    def close(self) -> None:
        """Write what was counted, for the last time; it is lost where the database is away."""
        with suppress(SQLAlchemyError):
            self.write()

    def _more(self, kind: _Kind, count: int, address: str) -> bool:
        with Session(self._database) as session, session.begin():
            row = session.execute(
                update(AuditRow)
                .where(AuditRow.counted_as == kind.key)
                .values(times=AuditRow.times + count)
                .returning(AuditRow.id)
            ).scalar()
            return row is not None

    def _first(self, kind: _Kind, count: int, address: str) -> None:
        detail = {"reason": kind.reason, "first_from": address}
        row = AuditRow(
            at=self._clock(), what=SIGN_IN_REFUSED, who=kind.who, detail=detail, times=count, counted_as=kind.key
        )
        try:
            with Session(self._database) as session, session.begin():
                session.add(row)
        except IntegrityError:  # another node on this database was quicker
            self._more(kind, count, address)
