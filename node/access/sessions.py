"""Browsers in which somebody has signed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from node.access.identity import Identity, Role
from node.access.tokens import digest, new_token
from node.config import StatusSettings
from node.database.audit import note
from node.database.connection import Database
from node.database.tables import SIGNED_IN, SIGNED_OUT, SessionRow, UserRow

SEEN_EVERY = timedelta(minutes=1)  # how often it is written down that somebody is still there
LONGEST_BROWSER = 200
LONGEST_ADDRESS = 64


class Sessions:
    """Begins, finds and ends them.

    Parameters
    ----------
    settings
        How long they last.
    clock
        The time, with its zone.
    """

    def __init__(
        self, database: Database, settings: StatusSettings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database, self._clock = database, clock
        self._idle, self._absolute = (
            timedelta(minutes=settings.session_idle_minutes),
            timedelta(hours=settings.session_hours),
        )
        self._openid = settings.openid is not None

    def begin(self, identity: Identity, address: str, browser: str, *, password: str = "") -> str | None:
        """Begin a new one.

        Parameters
        ----------
        identity
            Who has signed in.
        address, browser
            From where, and with what.
        password
            The hash that a user's password was compared with.

        Returns
        -------
        str
            The token for the cookie; None where the user was changed meanwhile.
        """
        token, now = new_token(), self._clock()
        with Session(self._database) as session, session.begin():
            if identity.way == "password":
                user = session.get(UserRow, identity.name, with_for_update=True)
                if user is None or user.disabled is not None or user.password != password:
                    return None
                user.last_sign_in = now
            session.execute(
                delete(SessionRow).where(
                    or_(SessionRow.created < now - self._absolute, SessionRow.seen < now - self._idle)
                )
            )
            session.add(
                SessionRow(
                    digest=digest(token),
                    name=identity.name,
                    way=identity.way,
                    role=identity.role,
                    sees_patients=identity.sees_patients,
                    address=address[:LONGEST_ADDRESS],
                    browser=browser[:LONGEST_BROWSER],
                    created=now,
                    seen=now,
                )
            )
            note(session, SIGNED_IN, identity.name, now=now, way=identity.way, role=identity.role, address=address)
        return token

    def identity_of(self, token: str, *, is_active: bool = True) -> Identity | None:
        """Who has signed in with the browser that shows this token; None if nobody, or not any more.

        Parameters
        ----------
        is_active
            Whether somebody is at the browser; a page that refreshes itself does not prolong the session.
        """
        now, shown = self._clock(), digest(token)
        with Session(self._database) as session:
            row = session.scalar(select(SessionRow).where(SessionRow.digest == shown))
            if row is None or row.created <= now - self._absolute or row.seen <= now - self._idle:
                return None
            if not self._still_holds(session, row):
                return None
            identity = Identity(row.name, Role(row.role), row.sees_patients, row.way, shown)
            if is_active and now - row.seen >= SEEN_EVERY:
                session.execute(update(SessionRow).where(SessionRow.id == row.id).values(seen=now))
                session.commit()  # it may have ended meanwhile
            return identity

    def _still_holds(self, session: Session, row: SessionRow) -> bool:
        """Whether whoever signed in is still who they were then; changes end sessions, but may cross a sign-in."""
        if row.way == "openid":
            return self._openid
        user = session.get(UserRow, row.name)
        return (
            user is not None
            and user.disabled is None
            and (user.role, user.sees_patients) == (row.role, row.sees_patients)
        )

    def of(self, identity: Identity) -> Sequence[SessionRow]:
        """The open sessions of somebody, the one used last first."""
        now = self._clock()
        with Session(self._database, expire_on_commit=False) as session:
            query = select(SessionRow).where(
                SessionRow.name == identity.name,
                SessionRow.way == identity.way,
                SessionRow.created > now - self._absolute,
                SessionRow.seen > now - self._idle,
            )
            return session.scalars(query.order_by(SessionRow.seen.desc(), SessionRow.id.desc())).all()

    def end(self, identity: Identity, number: int | None = None) -> bool:
        """End the session that somebody asks from, or another one of their own.

        Parameters
        ----------
        number
            Of the other one.

        Returns
        -------
        bool
            Whether there was such a session.
        """
        mine = SessionRow.id == number if number is not None else SessionRow.digest == identity.session
        with Session(self._database) as session, session.begin():
            ended = session.execute(
                delete(SessionRow)
                .where(mine, SessionRow.name == identity.name, SessionRow.way == identity.way)
                .returning(SessionRow.id)
            ).all()
            if ended:
                note(session, SIGNED_OUT, identity.name, now=self._clock(), way=identity.way)
            return bool(ended)

    def end_others(self, identity: Identity) -> int:
        """End all sessions of somebody but the one that they ask from; how many there were."""
        with Session(self._database) as session, session.begin():
            ended = end_all(session, identity.name, identity.way, but=identity.session)
            if ended:
                note(session, SIGNED_OUT, identity.name, now=self._clock(), way=identity.way, sessions=ended)
            return ended


def end_all(session: Session, name: str, way: str = "password", *, but: str = "") -> int:
    """End the sessions of somebody, but for the one with that digest; how many there were."""
    gone = delete(SessionRow).where(SessionRow.name == name, SessionRow.way == way, SessionRow.digest != but)
    return len(session.execute(gone.returning(SessionRow.id)).all())
