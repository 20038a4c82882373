"""An administrator adds, changes and removes users, and nobody does it with a form that another was given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.access.api_tokens import ApiTokens
from node.access.identity import Role, Scope
from node.access.tokens import digest
from node.access.users import Users
from node.config import Configuration
from node.database.connection import Database
from node.database.tables import USER_CHANGED, AuditRow
from node.status.forms import FormTokens
from tests.node.access.quick import PASSWORD
from tests.node.status.signing_in import Reader, alert, pages, with_people


@pytest.fixture
def users(database: Database) -> Users:
    return with_people(database)


@pytest.fixture
def url(configuration: Configuration, database: Database, users: Users) -> Iterator[str]:
    with pages(configuration, database) as url:
        yield url


@pytest.fixture
def anna(url: str) -> Iterator[Reader]:
    with Reader(url) as reader:
        reader.sign_in("anna")
        yield reader


def test_a_user_is_added_changed_disabled_and_removed(database: Database, users: Users, url: str, anna: Reader) -> None:
    assert anna.submit("/users", name="Nina", password=PASSWORD, role="operator", patients="yes").status_code == 303
    nina = users.named("nina")
    assert nina is not None
    assert (nina.role, nina.sees_patients) == ("operator", True)
    assert "nina" in anna.get("/users").text
    with Reader(url) as reader:
        reader.sign_in("nina")
        assert anna.submit("/users/nina", "/users/nina/role", role="viewer").status_code == 303
        assert reader.get("/account").status_code == 303  # her session has ended
        reader.sign_in("nina")
        assert "do not see patients' names" in reader.get("/account").text
        assert anna.submit("/users/nina", "/users/nina/password", password="words that are new").status_code == 303
        assert reader.sign_in("nina", "words that are new").status_code == 303
        assert anna.submit("/users/nina", "/users/nina/disable").status_code == 303
        assert reader.sign_in("nina", "words that are new").status_code == 422
        assert anna.submit("/users/nina", "/users/nina/enable").status_code == 303
        assert reader.sign_in("nina", "words that are new").status_code == 303
    assert anna.submit("/users/nina", "/users/nina/remove").headers["location"] == "/users"
    assert anna.get("/users/nina").status_code == 404
    with Session(database) as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.what == USER_CHANGED).order_by(AuditRow.id)).all()
        assert [(row.who, row.detail["change"]) for row in rows if row.detail["user"] == "nina"] == [
            ("anna", change) for change in ("added", "role", "password", "disabled", "enabled", "removed")
        ]


def test_what_is_not_fit_is_told_and_what_was_typed_stands_again_but_for_the_password(anna: Reader) -> None:
    answer = anna.submit("/users", name="Nina Roe", password="hunter2 hunter2", role="operator")
    assert answer.status_code == 422
    assert "is no name of a user" in alert(answer)
    assert 'value="Nina Roe"' in answer.text
    assert "hunter2" not in answer.text
    assert "should have one of the roles" in alert(anna.submit("/users", name="nina", password=PASSWORD, role="king"))


def test_an_administrator_cannot_take_their_own_role_away(
    configuration: Configuration, users: Users, anna: Reader
) -> None:
    assert "/users/anna/role" not in anna.get("/users/anna").text
    session = digest(anna.cookies["condyle-session"])
    assert "/users/anna/password" not in anna.get("/users/anna").text
    assert '<a href="/account">Change your password</a>' in anna.get("/users/anna").text
    for what in ("role", "disable", "remove", "password"):
        path = f"/users/anna/{what}"
        token = FormTokens(configuration.node.data).token(path, "password", "anna", session)  # as if there were a form
        answer = anna.post(path, data={"token": token, "role": "viewer", "password": "another password of hers"})
        who = "change your password on the page Account" if what == "password" else "another administrator has to do it"
        assert alert(answer).startswith(f"Not done: that is you: {who}")
    user = users.named("anna")
    assert user is not None
    assert (user.role, user.disabled) == (Role.ADMINISTRATOR, None)


@pytest.mark.parametrize("name", ["vera", "otto"])
def test_nobody_else_changes_users_with_a_form_of_an_administrator(
    users: Users, url: str, anna: Reader, name: str
) -> None:
    with Reader(url) as reader:
        reader.sign_in(name)
        token = anna.token_of("/users")
        form = {"token": token, "name": "nina", "password": PASSWORD, "role": "administrator"}
        assert reader.post("/users", data=form).status_code == 403
        assert users.named("nina") is None
        assert anna.post("/users", data=form, headers={"origin": "https://evil.example"}).status_code == 403
        assert anna.post("/users", data={**form, "token": ""}).status_code == 403
        assert anna.post("/users", data=form).status_code == 303


def test_the_first_user_that_this_machine_adds_is_an_administrator(
    configuration: Configuration, database: Database
) -> None:
    with pages(configuration, database) as url, Reader(url) as machine:
        answer = machine.submit("/users", name="vera", password=PASSWORD, role="viewer")
        assert "the first user should be an administrator" in alert(answer)
        assert machine.submit("/users", name="anna", password=PASSWORD, role="administrator").status_code == 303
        assert machine.get("/users").headers["location"] == "/sign-in?next=/users"


def test_the_first_user_that_a_program_adds_is_an_administrator_too(
    configuration: Configuration, database: Database
) -> None:
    token = ApiTokens(database).new("deploy", [Scope.ADMINISTER], None, "root")
    with pages(configuration, database) as url, Reader(url) as program:
        program.headers["authorization"] = f"Bearer {token}"
        answer = program.submit("/users", name="vera", password=PASSWORD, role="viewer")
        assert "the first user should be an administrator" in alert(answer)
        assert not Users(database).any()
