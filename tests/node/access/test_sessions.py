"""A session holds for whoever signed in, in that browser, for as long as the configuration says and no longer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.access.identity import Identity, Role
from node.access.passwords import Passwords
from node.access.sessions import Sessions
from node.access.tokens import digest
from node.access.users import Users, identity_of
from node.config import StatusSettings
from node.database.connection import Database
from node.database.tables import AuditRow, SessionRow, UserRow
from tests.node.access.quick import PASSWORD, QUICK

pytestmark = pytest.mark.postgres
SETTINGS = StatusSettings(session_idle_minutes=30, session_hours=8)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users(database: Database, clock: Clock) -> Users:
    users = Users(database, Passwords(QUICK), clock)
    users.add("anna", PASSWORD, Role.OPERATOR, "root", sees_patients=True)
    return users


@pytest.fixture
def sessions(database: Database, clock: Clock) -> Sessions:
    return Sessions(database, SETTINGS, clock)


def signed_in(sessions: Sessions, users: Users, name: str = "anna") -> str:
    user = users.named(name)
    assert user is not None
    token = sessions.begin(identity_of(user), "10.1.1.1", "Firefox", password=user.password)
    assert token is not None
    return token


def test_the_token_tells_who_signed_in_and_the_database_has_its_digest_only(
    database: Database, users: Users, sessions: Sessions
) -> None:
    token = signed_in(sessions, users)
    assert sessions.identity_of(token) == Identity("anna", Role.OPERATOR, True, "password", digest(token))
    assert sessions.identity_of(token[:-1]) is None
    assert sessions.identity_of(digest(token)) is None
    with Session(database) as session:
        (row,) = session.scalars(select(SessionRow))
        assert row.digest == digest(token)
        user = session.get_one(UserRow, "anna")
        assert user.last_sign_in == row.created
        line = session.scalars(select(AuditRow).order_by(AuditRow.id.desc())).first()
        assert line is not None
        assert (line.what, line.who, line.detail["way"], line.detail["address"]) == (
            "signed in",
            "anna",
            "password",
            "10.1.1.1",
        )
        assert token not in str(line.detail)


def test_a_session_ends_when_nobody_is_there_and_a_page_that_refreshes_itself_is_nobody(
    users: Users, sessions: Sessions, clock: Clock
) -> None:
    left, used = signed_in(sessions, users), signed_in(sessions, users)
    for _ in range(4):
        clock.now += timedelta(minutes=10)
        if clock.now < datetime(2026, 3, 1, 8, 30, tzinfo=UTC):
            assert sessions.identity_of(left, is_active=False) is not None
        assert sessions.identity_of(used) is not None
    assert sessions.identity_of(left, is_active=False) is None


def test_a_session_ends_after_its_hours_although_it_is_used(users: Users, sessions: Sessions, clock: Clock) -> None:
    token = signed_in(sessions, users)
    for _ in range(8 * 6 - 1):
        clock.now += timedelta(minutes=10)
        assert sessions.identity_of(token) is not None
    clock.now += timedelta(minutes=10)
    assert sessions.identity_of(token) is None


def test_what_has_ended_is_removed_at_the_next_sign_in(
    database: Database, users: Users, sessions: Sessions, clock: Clock
) -> None:
    for _ in range(3):
        signed_in(sessions, users)
        clock.now += timedelta(hours=1)
    with Session(database) as session:
        assert len(session.scalars(select(SessionRow)).all()) == 1


@pytest.mark.parametrize("change", ["role", "patients", "password", "disabled", "removed"])
def test_a_change_of_the_user_ends_all_sessions(users: Users, sessions: Sessions, change: str) -> None:
    tokens = [signed_in(sessions, users) for _ in range(2)]
    ended = {
        "role": lambda: users.set_role("anna", Role.ADMINISTRATOR, "root"),
        "patients": lambda: users.set_role("anna", Role.OPERATOR, "root", sees_patients=False),
        "password": lambda: users.set_password("anna", "other words of mine", "root"),
        "disabled": lambda: users.disable("anna", "root"),
        "removed": lambda: users.remove("anna", "root"),
    }[change]()
    assert ended == 2
    assert [sessions.identity_of(token) for token in tokens] == [None, None]


def test_who_is_changed_between_the_comparison_and_the_session_gets_none(users: Users, sessions: Sessions) -> None:
    user = users.named("anna")
    assert user is not None
    users.set_password("anna", "other words of mine", "root")
    assert sessions.begin(identity_of(user), "", "", password=user.password) is None
    users.disable("anna", "root")
    changed = users.named("anna")
    assert changed is not None
    assert sessions.begin(identity_of(changed), "", "", password=changed.password) is None


def test_somebody_sees_and_ends_their_own_sessions_and_nobody_elses(users: Users, sessions: Sessions) -> None:
    users.add("otto", PASSWORD, Role.VIEWER, "root")
    mine, other, ottos = signed_in(sessions, users), signed_in(sessions, users), signed_in(sessions, users, "otto")
    anna, otto = sessions.identity_of(mine), sessions.identity_of(ottos)
    assert anna is not None
    assert otto is not None
    (ottos_row,) = sessions.of(otto)
    assert not sessions.end(anna, ottos_row.id)
    assert not sessions.end(replace(otto, way="openid"), ottos_row.id)  # another somebody of the same name
    assert sessions.identity_of(ottos) is not None
    assert len(sessions.of(anna)) == 2
    assert sessions.end_others(anna) == 1
    assert sessions.identity_of(other) is None
    assert sessions.end(anna)
    assert sessions.identity_of(mine) is None


def test_sessions_by_openid_end_when_it_is_not_configured_any_more(database: Database, clock: Clock) -> None:
    openid = {"issuer": "https://login.example.org", "client_id": "condyle", "roles": {"all": "viewer"}}
    settings = StatusSettings.model_validate({"url": "https://condyle.example.org", "openid": openid})
    token = Sessions(database, settings, clock).begin(Identity("vera", Role.VIEWER, way="openid"), "", "")
    assert token is not None
    assert Sessions(database, settings, clock).identity_of(token) is not None
    assert Sessions(database, SETTINGS, clock).identity_of(token) is None
