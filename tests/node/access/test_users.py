"""Users are added, changed and removed, each with a line in the audit trail and never with a password in it."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from node.access.api_tokens import ApiTokens
from node.access.identity import Identity, Role, Scope
from node.access.passwords import Passwords
from node.access.users import NotDone, Users, identity_of
from node.database.connection import Database
from node.database.tables import AuditRow, UserRow
from tests.node.access.quick import PASSWORD, QUICK

pytestmark = pytest.mark.postgres


@pytest.fixture
def users(database: Database) -> Users:
    return Users(database, Passwords(QUICK))


def audited(database: Database) -> list[tuple[str, str, str]]:
    with Session(database) as session:
        return [(row.who, row.detail["user"], row.detail["change"]) for row in session.scalars(select(AuditRow))]


def test_a_user_is_found_however_the_name_is_capitalized(users: Users) -> None:
    assert not users.any()
    users.add(" Anna.Roe ", PASSWORD, Role.OPERATOR, "root", sees_patients=True)
    assert users.any()
    user = users.named("ANNA.roe")
    assert user is not None
    assert identity_of(user) == Identity("anna.roe", Role.OPERATOR, sees_patients=True, way="password")
    assert asyncio.run(users.compare(user, PASSWORD)).is_right
    assert not asyncio.run(users.compare(user, PASSWORD.upper())).is_right


def test_a_name_that_could_be_taken_for_something_else_is_not_taken(users: Users) -> None:
    for name in ("", "two words", "-anna", "änna", "a" * 65, "this machine", "token x", "a/b", "<b>"):
        with pytest.raises(NotDone, match="is no name of a user; should be at most 64 letters"):
            users.add(name, PASSWORD, Role.VIEWER, "root")


def test_a_second_user_of_a_name_and_a_weak_password_are_not_taken(database: Database, users: Users) -> None:
    users.add("anna", PASSWORD, Role.VIEWER, "root")
    with pytest.raises(NotDone, match="there is such a user already"):
        users.add("Anna", "other words of mine", Role.ADMINISTRATOR, "root")
    with pytest.raises(NotDone, match="the password has 5 characters"):
        users.add("otto", "short", Role.VIEWER, "root")
    with pytest.raises(NotDone, match="the password has the user's name"):
        users.set_password("anna", "anna and her words", "root")
    assert [user.name for user in users.all()] == ["anna"]
    assert audited(database) == [("root", "anna", "added")]


def test_each_change_is_in_the_audit_trail_and_no_password_is_in_the_database(database: Database, users: Users) -> None:
    users.add("anna", PASSWORD, Role.VIEWER, "root")
    users.set_role("anna", Role.OPERATOR, "root")
    users.set_role("anna", Role.OPERATOR, "root")  # which changes nothing
    users.set_password("anna", "other words of mine", "anna")
    users.disable("anna", "root")
    users.enable("anna", "root")
    users.remove("anna", "root")
    assert audited(database) == [
        ("root", "anna", change) if change != "password" else ("anna", "anna", change)
        for change in ("added", "role", "password", "disabled", "enabled", "removed")
    ]
    with database.connect() as connection:
        for table in ("user_account", "audit", "session"):
            told = str(connection.execute(text(f"SELECT * FROM {table}")).all())
            assert PASSWORD not in told
            assert "other words" not in told
            assert "argon2" not in told or table == "user_account"


def test_who_is_not_there_is_not_changed(database: Database, users: Users) -> None:
    for change in (
        lambda: users.set_role("nobody", Role.VIEWER, "root"),
        lambda: users.set_password("nobody", PASSWORD, "root"),
        lambda: users.disable("nobody", "root"),
        lambda: users.enable("nobody", "root"),
        lambda: users.remove("nobody", "root"),
    ):
        with pytest.raises(NotDone, match="nobody: there is no such user"):
            change()
    assert audited(database) == []


def test_a_renewed_hash_is_stored_unless_the_password_was_changed_meanwhile(database: Database, users: Users) -> None:
    users.add("anna", PASSWORD, Role.VIEWER, "root")
    before = users.named("anna")
    assert before is not None
    assert users.renew(before, "a newer hash").password == "a newer hash"
    users.set_password("anna", "other words of mine", "root")
    users.renew(before, "an older hash")
    with Session(database) as session:
        assert session.get_one(UserRow, "anna").password.startswith("$argon2id$")


def test_tokens_that_a_user_made_and_that_still_hold_are_counted(database: Database, users: Users) -> None:
    tokens = ApiTokens(database)
    for name in ("one", "two"):
        tokens.new(name, [Scope.READ], 30, "anna")
    tokens.revoke("one", "root")
    assert users.live_tokens("Anna") == 1
