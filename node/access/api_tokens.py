"""Tokens of programs: with a name, scopes and an end, stored as a digest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from node.access.identity import Identity, Role, Scope
from node.access.tokens import digest, new_token
from node.access.users import NotDone
from node.database.audit import note
from node.database.connection import Database
from node.database.tables import API_TOKEN_CHANGED, ApiTokenRow

PREFIX = "condyle_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_RULE = "should be at most 64 letters without accents, digits and the signs . _ -, with a letter or digit first"
USED_EVERY = timedelta(minutes=1)  # how often it is written down that one was used
LONGEST_DAYS = 3650


ROLES = {Scope.READ: Role.VIEWER, Scope.OPERATE: Role.OPERATOR, Scope.ADMINISTER: Role.ADMINISTRATOR}


class ApiTokens:
    """Makes, lists and revokes them; each change is a line in the audit trail.

    Parameters
    ----------
    clock
        The time, with its zone.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database, self._clock = database, clock

    def new(self, name: str, scopes: Iterable[Scope], days: int | None, by: str) -> str:
        """Make one.

        Parameters
        ----------
        name
            What it is for; the audit trail names it.
        scopes
            One at least; each role has the lower ones.
        days
            How long it holds; None: until it is revoked.

        Returns
        -------
        str
            The token, which cannot be shown again.

        Raises
        ------
        NotDone
            If there is, or was, one of that name, or something is not fit.
        """
        chosen = sorted({Scope(scope) for scope in scopes}, key=list(Scope).index)
        if NAME.fullmatch(name) is None:
            raise NotDone(f"{name!r}: is no name of a token; {NAME_RULE}")
        if not set(chosen) & ROLES.keys():
            raise NotDone(f"a token needs a scope: {', '.join(ROLES)}")
        if days is not None and not 1 <= days <= LONGEST_DAYS:
            raise NotDone(f"{days} days: should be from 1 to {LONGEST_DAYS}")
        token, now = new_token(PREFIX), self._clock()
        row = ApiTokenRow(
            name=name,
            digest=digest(token),
            scopes=[str(scope) for scope in chosen],
            made_by=by,
            created=now,
            expires=None if days is None else now + timedelta(days=days),
        )
        try:
            with Session(self._database) as session, session.begin():
                session.add(row)
                session.flush()
                note(session, API_TOKEN_CHANGED, by, now=now, token=name, change="made", scopes=row.scopes, days=days)
        except IntegrityError:
            raise NotDone(
                f"{name}: there is or was a token of that name, and the audit trail names it; choose another"
            ) from None
        return token

    def all(self) -> Sequence[ApiTokenRow]:
        """All tokens, the latest first."""
        with Session(self._database, expire_on_commit=False) as session:
            return session.scalars(select(ApiTokenRow).order_by(ApiTokenRow.id.desc())).all()

    def revoke(self, name: str, by: str) -> None:
        """Have a token hold no more.

        Raises
        ------
        NotDone
            If there is none of that name, or it was revoked before.
        """
        with Session(self._database) as session, session.begin():
            row = session.scalar(select(ApiTokenRow).where(ApiTokenRow.name == name).with_for_update())
            if row is None:
                raise NotDone(f"{name}: there is no such token; condyle token list shows them")
            if row.revoked is not None:
                raise NotDone(f"{name}: has been revoked already")
            row.revoked = self._clock()
            note(session, API_TOKEN_CHANGED, by, now=row.revoked, token=name, change="revoked")

    def identity_of(self, token: str) -> Identity | None:
        """Whom a token stands for; None if it holds for nobody."""
        if not token.startswith(PREFIX):
            return None
        now = self._clock()
        with Session(self._database) as session:
            row = session.scalar(select(ApiTokenRow).where(ApiTokenRow.digest == digest(token)))
            if row is None or not holds(row, now):
                return None
            scopes = {Scope(scope) for scope in row.scopes}
            role = max((ROLES[scope] for scope in scopes & ROLES.keys()), key=list(Role).index)
            identity = Identity(f"token {row.name}", role, Scope.PATIENTS in scopes, "token")
            if row.last_used is None or now - row.last_used >= USED_EVERY:
                row.last_used = now
                session.commit()
            return identity


def holds(row: ApiTokenRow, now: datetime) -> bool:
    """Whether a token is good at that moment."""
    return row.revoked is None and (row.expires is None or row.expires > now)
