"""The node's own users: names, passwords and roles."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from node.access.identity import RESERVED, Identity, Role
from node.access.passwords import Comparison, Passwords, password_problem
from node.access.sessions import end_all
from node.database.audit import note
from node.database.connection import Database
from node.database.tables import USER_CHANGED, ApiTokenRow, UserRow
from node.errors import NodeError

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
NAME_RULE = "should be at most 64 letters without accents, digits and the signs . _ @ -, with a letter or digit first"


class NotDone(NodeError):
    """Something about users or tokens is not done; the message says why, and nothing has changed."""


class Users:
    """Lists and changes them; each change is a line in the audit trail.

    Parameters
    ----------
    clock
        The time, with its zone.
    """

    def __init__(
        self,
        database: Database,
        passwords: Passwords | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database, self._clock = database, clock
        self.passwords = Passwords() if passwords is None else passwords

    # ---- who there is
    def any(self) -> bool:
        """Whether there is a user, who may be disabled."""
        with Session(self._database) as session:
            return session.scalar(select(UserRow.name).limit(1)) is not None

    def all(self) -> Sequence[UserRow]:
        """All users, by name."""
        with Session(self._database, expire_on_commit=False) as session:
            return session.scalars(select(UserRow).order_by(UserRow.name)).all()

    def named(self, name: str) -> UserRow | None:
        """The user of that name."""
        with Session(self._database, expire_on_commit=False) as session:
            return session.get(UserRow, folded(name))

    async def compare(self, user: UserRow | None, password: str) -> Comparison:
        """Whether that is the user's password; None, for nobody, takes as long.

        Raises
        ------
        TooBusy
            If too many are compared.
        """
        return await self.passwords.compare(None if user is None else user.password, password)

    def renew(self, user: UserRow, hashed: str) -> UserRow:
        """Store the same password with today's parameters; the user as it is then."""
        with Session(self._database, expire_on_commit=False) as session, session.begin():
            row = session.get(UserRow, user.name, with_for_update=True)
            if row is None or row.password != user.password:
                return user
            row.password = hashed
            return row

    # ---- changes
    def add(self, name: str, password: str, role: Role, by: str, *, sees_patients: bool = False) -> None:
        """Add one.

        Raises
        ------
        NotDone
            If there is one of that name, or name or password are not fit.
        """
        name = folded(name)
        if NAME.fullmatch(name) is None or name in RESERVED:
            raise NotDone(f"{name!r}: is no name of a user; {NAME_RULE}")
        hashed = self._hashed(name, password)
        now = self._clock()
        row = UserRow(name=name, password=hashed, role=role, sees_patients=sees_patients, created=now)
        try:
            with Session(self._database) as session, session.begin():
                session.add(row)
                session.flush()
                note(session, USER_CHANGED, by, now=now, user=name, change="added", role=role, patients=sees_patients)
        except IntegrityError:
            raise NotDone(f"{name}: there is such a user already") from None

    def set_role(self, name: str, role: Role, by: str, *, sees_patients: bool | None = None) -> int:
        """Give another role, or have them see patients or not (None: as before); how many sessions that ended.

        Raises
        ------
        NotDone
            If there is no such user.
        """
        with self._changing(name) as (session, user):
            patients = user.sees_patients if sees_patients is None else sees_patients
            if (user.role, user.sees_patients) == (role, patients):
                return 0
            user.role, user.sees_patients = role, patients
            self._note(session, user, by, "role", role=role, patients=patients)
            return end_all(session, user.name)

    def set_password(self, name: str, password: str, by: str, *, stays: Identity | None = None) -> int:
        """Store another password.

        Parameters
        ----------
        stays
            Whose session goes on: of the user who has typed both.

        Returns
        -------
        int
            How many sessions that ended.

        Raises
        ------
        NotDone
            If there is no such user, or the password is not fit.
        """
        hashed = self._hashed(folded(name), password)
        with self._changing(name) as (session, user):
            user.password = hashed
            self._note(session, user, by, "password")
            return end_all(session, user.name, but=stays.session if stays is not None else "")

    def disable(self, name: str, by: str) -> int:
        """Have a user not sign in any more; how many sessions that ended.

        Raises
        ------
        NotDone
            If there is no such user.
        """
        with self._changing(name) as (session, user):
            if user.disabled is None:
                user.disabled = self._clock()
                self._note(session, user, by, "disabled")
            return end_all(session, user.name)

    def enable(self, name: str, by: str) -> None:
        """Have a user sign in again.

        Raises
        ------
        NotDone
            If there is no such user.
        """
        with self._changing(name) as (session, user):
            if user.disabled is not None:
                user.disabled = None
                self._note(session, user, by, "enabled")

    def remove(self, name: str, by: str) -> int:
        """Remove a user; how many sessions that ended.

        Raises
        ------
        NotDone
            If there is no such user.
        """
        with self._changing(name) as (session, user):
            self._note(session, user, by, "removed")
            session.execute(delete(UserRow).where(UserRow.name == user.name))
            return end_all(session, user.name)

    def live_tokens(self, name: str) -> int:
        """How many API tokens somebody has made that still hold: they stay when the user goes."""
        with Session(self._database) as session:
            made = select(ApiTokenRow).where(ApiTokenRow.made_by == folded(name), ApiTokenRow.revoked.is_(None))
            now = self._clock()
            return sum(row.expires is None or row.expires > now for row in session.scalars(made))

    @contextmanager
    def _changing(self, name: str) -> Iterator[tuple[Session, UserRow]]:
        with Session(self._database) as session, session.begin():
            user = session.get(UserRow, folded(name), with_for_update=True)
            if user is None:
                raise NotDone(f"{name}: there is no such user; condyle user list shows them")
            yield session, user

    def _note(self, session: Session, user: UserRow, by: str, change: str, **detail: Any) -> None:
        note(session, USER_CHANGED, by, now=self._clock(), user=user.name, change=change, **detail)

    def _hashed(self, name: str, password: str) -> str:
        if (problem := password_problem(password, name)) is not None:
            raise NotDone(f"the password {problem}")
        return self.passwords.hashed(password)


def folded(name: str) -> str:
    """The name as it is stored: nobody has to know how it was capitalized."""
    return name.strip().lower()


def identity_of(user: UserRow) -> Identity:
    """Who a user is."""
    return Identity(user.name, Role(user.role), user.sees_patients, "password")
