"""Routes and destinations are paused and resumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_sr.words import counted, did_you_mean
from node.actions.preview import Preview
from node.config import Configuration
from node.database import audit, outbox, pauses
from node.database.connection import Database
from node.database.jobs import JobState
from node.database.pauses import PauseKind
from node.database.states import OutboxState
from node.database.tables import PAUSED, RESUMED, JobRow, OutboxRow, PauseRow
from node.errors import NodeError
from node.route.by_hand import UnknownName


class AlreadySo(NodeError):
    """It is paused already, or is not paused."""


class PauseActions:
    """The actions; a pause outlasts restarts, until somebody ends it.

    Parameters
    ----------
    configuration, database
        The node's.
    tell
        Called when a route was paused or resumed: has the engine look now. Without, it sees so within a second.
    """

    def __init__(
        self, configuration: Configuration, database: Database, tell: Callable[[], object] = lambda: None
    ) -> None:
        self._configuration, self._database, self._tell = configuration, database, tell

    def every(self) -> list[PauseRow]:
        """All that is paused."""
        with Session(self._database, expire_on_commit=False) as session:
            return pauses.every(session)

    def preview_pause(self, kind: PauseKind, name: str) -> Preview:
        """What `pause` would do.

        Raises
        ------
        UnknownName
            If there is no such route or destination.
        """
        self._require_known(kind, name)
        with Session(self._database) as session:
            found = pauses.find(session, kind, name)
            refusal = "" if found is None else pauses.sentence(found)
            sentences = _of_route(session, name) if kind is PauseKind.ROUTE else _of_destination(session, name)
        return Preview(f"Pause {kind} {name}?", (*sentences, "A restart does not end the pause."), refusal)

    def pause(self, kind: PauseKind, name: str, why: str, by: str) -> None:
        """Pause a route or a destination.

        Parameters
        ----------
        kind, name
            What.
        why
            In words, for others who see it paused; without the patient's name.
        by
            Who does so.

        Raises
        ------
        UnknownName
            If there is no such route or destination.
        AlreadySo
            If it is paused.
        """
        self._require_known(kind, name)
        now = datetime.now(UTC)
        with Session(self._database) as session, session.begin():
            if not pauses.pause(session, kind, name, by, why, now):
                raise AlreadySo(f"{kind} {name} is paused already")
            audit.note(session, PAUSED, by, now=now, kind=kind.value, name=name, why=why)
        if kind is PauseKind.ROUTE:
            self._tell()

    def preview_resume(self, kind: PauseKind, name: str) -> Preview:
        """What `resume` would do."""
        with Session(self._database) as session:
            found = pauses.find(session, kind, name)
            if found is None:
                return Preview(f"Resume {kind} {name}?", (), f"{kind} {name} is not paused")
            now = pauses.sentence(found)
            waiting = _queued(session, name) if kind is PauseKind.ROUTE else _waiting(session, name)
        if kind is PauseKind.ROUTE:
            then = f"{counted(waiting, 'job')} that waited can begin, in the order of their priority."
        else:
            then = f"{counted(waiting, 'object')} that waited can be sent at once."
        return Preview(f"Resume {kind} {name}?", (f"{now[0].upper()}{now[1:]}.", then))

    def resume(self, kind: PauseKind, name: str, by: str) -> None:
        """End a pause, also of what has left the configuration.

        Raises
        ------
        AlreadySo
            If it is not paused.
        """
        now = datetime.now(UTC)
        with Session(self._database) as session, session.begin():
            if not pauses.resume(session, kind, name):
                raise AlreadySo(f"{kind} {name} is not paused")
            if kind is PauseKind.DESTINATION:
                outbox.begin_anew(session, name, now)
            audit.note(session, RESUMED, by, now=now, kind=kind.value, name=name)
        if kind is PauseKind.ROUTE:
            self._tell()

    def _require_known(self, kind: PauseKind, name: str) -> None:
        routes, destinations = self._configuration.routes, self._configuration.destinations
        known: Sequence[str] = list(routes if kind is PauseKind.ROUTE else destinations)
        if name not in known:
            there = ", ".join(known) or "none"
            raise UnknownName(
                f"{kind}: {name!r}: there is none of that name; there are: {there}{did_you_mean(name, known)}"
            )


def _of_route(session: Session, name: str) -> list[str]:
    queued = _queued(session, name)
    return [
        f"Route {name} goes on deciding, and its jobs are written down; none of them begins until it is resumed.",
        f"{counted(queued, 'job')} of it {'is' if queued == 1 else 'are'} queued now; what runs goes on to its end.",
    ]


def _of_destination(session: Session, name: str) -> list[str]:
    waiting = _waiting(session, name)
    return [
        f"Nothing is sent to {name}, and nothing taken back there, until it is resumed; what was sent is still "
        "confirmed. It does not count as down meanwhile.",
        f"{counted(waiting, 'object')} {'waits' if waiting == 1 else 'wait'} for it now.",
    ]


def _queued(session: Session, route: str) -> int:
    where = (JobRow.state == JobState.QUEUED, JobRow.route == route)
    return session.scalars(select(func.count()).select_from(JobRow).where(*where)).one()


def _waiting(session: Session, destination: str) -> int:
    where = (OutboxRow.destination == destination, OutboxRow.state == OutboxState.WAITING)
    return session.scalars(select(func.count()).select_from(OutboxRow).where(*where)).one()
