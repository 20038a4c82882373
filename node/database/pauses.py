"""Routes and destinations that an operator has paused: written down, so that a restart does not resume them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from node.background import is_away
from node.database.connection import Database
from node.database.tables import PauseRow

LOOK_S = 1.0  # after so long at most a pause counts in every process


class PauseKind(StrEnum):
    """What can be paused."""

    ROUTE = "route"  # decisions are made and jobs written, but not begun
    DESTINATION = "destination"  # what is to be sent there waits


def pause(session: Session, kind: PauseKind, name: str, who: str, why: str, now: datetime) -> bool:
    """Pause it; False where it is paused already, and then nothing changes."""
    if session.get(PauseRow, (kind, name), with_for_update=True) is not None:
        return False
    session.add(PauseRow(kind=kind, name=name, since=now, who=who, why=why))
    return True


def resume(session: Session, kind: PauseKind, name: str) -> bool:
    """End a pause; False where there is none."""
    gone = session.scalar(delete(PauseRow).where(PauseRow.kind == kind, PauseRow.name == name).returning(PauseRow.name))
    return gone is not None


def find(session: Session, kind: PauseKind, name: str) -> PauseRow | None:
    """The pause of one route or destination."""
    return session.get(PauseRow, (kind, name))


def every(session: Session) -> list[PauseRow]:
    """All of them, the routes after the destinations."""
    return list(session.scalars(select(PauseRow).order_by(PauseRow.kind, PauseRow.name)))


def names_of_paused(kind: PauseKind) -> Select[str]:
    """Asks for the names of all that are paused."""
    return select(PauseRow.name).where(PauseRow.kind == kind)


def sentence(row: PauseRow) -> str:
    """A pause in words."""
    why = f": {row.why}" if row.why else ""
    return f"{row.kind} {row.name} is paused by {row.who or 'an operator'} since {_moment(row.since)}{why}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


class Pauses:
    """What is paused, for those who ask all the time: the database is asked once a second.

    Parameters
    ----------
    clock
        Seconds that only go up.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._found: Mapping[tuple[str, str], PauseRow] = {}

    def route(self, name: str) -> str | None:
        """Why jobs of a route are not begun for now, as a sentence; None where they are."""
        return self._why(PauseKind.ROUTE, name)

    def destination(self, name: str) -> str | None:
        """Why nothing is sent to a destination for now, as a sentence; None where it is."""
        return self._why(PauseKind.DESTINATION, name)

    def routes(self) -> dict[str, str]:
        """By name, the routes that are paused, each with a sentence."""
        return {name: sentence(row) for (kind, name), row in self._now().items() if kind == PauseKind.ROUTE}

    def remark(self) -> str | None:
        """What is paused, without who and why, as strangers may read it; None where nothing is."""
        found = [f"{row.kind} {row.name} since {_moment(row.since)}" for row in self._now().values()]
        return f"paused by an operator: {', '.join(found)}" if found else None

    def _why(self, kind: PauseKind, name: str) -> str | None:
        row = self._now().get((kind, name))
        return sentence(row) if row is not None else None

    def _now(self) -> Mapping[tuple[str, str], PauseRow]:
        with self._lock:
            now = self._clock()
            if self._looked is None or now - self._looked >= LOOK_S:
                try:
                    with Session(self._database, expire_on_commit=False) as session:
                        self._found = {(row.kind, row.name): row for row in every(session)}
                except Exception as error:
                    if not is_away(error):
                        raise
                self._looked = now  # while the database is away, what was known holds
            return self._found
