"""A token of a program is good for its scopes, until it ends or is revoked, and stands nowhere but with its holder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from node.access.api_tokens import PREFIX, ApiTokens
from node.access.identity import Identity, Role, Scope
from node.access.users import NotDone
from node.database.connection import Database
from node.database.tables import ApiTokenRow, AuditRow

pytestmark = pytest.mark.postgres


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(database: Database, clock: Clock) -> ApiTokens:
    return ApiTokens(database, clock)


def test_a_token_is_good_for_its_scopes(tokens: ApiTokens) -> None:
    for number, (scopes, role, sees_patients) in enumerate(
        (
            ([Scope.READ], Role.VIEWER, False),
            ([Scope.PATIENTS, Scope.READ], Role.VIEWER, True),
            ([Scope.OPERATE], Role.OPERATOR, False),
            ([Scope.READ, Scope.ADMINISTER], Role.ADMINISTRATOR, False),
        )
    ):
        token = tokens.new(f"nightly{number}", scopes, 30, "anna")
        assert token.startswith(PREFIX)
        assert tokens.identity_of(token) == Identity(f"token nightly{number}", role, sees_patients, "token")
        assert tokens.identity_of(token + "x") is None
        assert tokens.identity_of(token.removeprefix(PREFIX)) is None


def test_the_database_has_no_token_and_the_audit_trail_says_who_made_it(database: Database, tokens: ApiTokens) -> None:
    token = tokens.new("nightly", [Scope.READ], None, "anna")
    tokens.revoke("nightly", "otto")
    with database.connect() as connection:
        for table in ("api_token", "audit"):
            assert token[len(PREFIX) :] not in str(connection.execute(text(f"SELECT * FROM {table}")).all())
    with Session(database) as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.id)).all()
        assert [(row.what, row.who, row.detail["token"], row.detail["change"]) for row in rows] == [
            ("API token changed", "anna", "nightly", "made"),
            ("API token changed", "otto", "nightly", "revoked"),
        ]


def test_a_token_ends_with_its_day_or_when_it_is_revoked(tokens: ApiTokens, clock: Clock) -> None:
    for_a_day, for_ever = tokens.new("day", [Scope.READ], 1, "anna"), tokens.new("ever", [Scope.READ], None, "anna")
    clock.now += timedelta(hours=23, minutes=59)
    assert tokens.identity_of(for_a_day) is not None
    clock.now += timedelta(minutes=1)
    assert tokens.identity_of(for_a_day) is None
    assert tokens.identity_of(for_ever) is not None
    tokens.revoke("ever", "anna")
    assert tokens.identity_of(for_ever) is None


def test_when_it_was_used_last_is_written_once_a_minute(database: Database, tokens: ApiTokens, clock: Clock) -> None:
    token = tokens.new("nightly", [Scope.READ], None, "anna")
    written = []
    for _ in range(4):
        tokens.identity_of(token)
        with Session(database) as session:
            written.append(session.scalars(select(ApiTokenRow.last_used)).one())
        clock.now += timedelta(seconds=30)
    assert len(set(written)) == 2


def test_what_is_not_fit_is_told_and_nothing_is_made(tokens: ApiTokens) -> None:
    tokens.new("nightly", [Scope.READ], 1, "anna")
    tokens.revoke("nightly", "anna")
    for name, scopes, days, told in (
        ("nightly", [Scope.READ], 1, "there is or was a token of that name"),
        ("two words", [Scope.READ], 1, "is no name of a token"),
        ("other", [], 1, "a token needs a scope: read, operate, administer"),
        ("other", [Scope.PATIENTS], 1, "a token needs a scope: read, operate, administer"),
        ("other", [Scope.READ], 0, "should be from 1 to 3650"),
    ):
        with pytest.raises(NotDone, match=told):
            tokens.new(name, scopes, days, "anna")
    for name, told in (("other", "there is no such token"), ("nightly", "has been revoked already")):
        with pytest.raises(NotDone, match=told):
            tokens.revoke(name, "anna")
    assert len(tokens.all()) == 1
