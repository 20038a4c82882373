"""A node that others reach does not start before somebody can sign in, and the check says how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.access.checks import number_of_users, sign_in_settings, ways_to_sign_in
from node.access.identity import Role
from node.access.passwords import Passwords
from node.access.users import Users
from node.config import Configuration
from node.database.connection import Database
from tests.node.access.quick import PASSWORD, QUICK

OPENID = {"issuer": "https://login.example.org", "client_id": "condyle", "roles": {"all": "viewer"}}


def configured(folder: Path, **status: Any) -> Configuration:
    return Configuration.model_validate({"node": {"data": str(folder)}, "status": status})


def states(configuration: Configuration) -> dict[str, str]:
    return {result.key: result.state for result in ways_to_sign_in(configuration)}


def test_without_a_database_there_is_no_user_and_it_is_not_made(tmp_path: Path) -> None:
    assert number_of_users(configured(tmp_path)) == 0
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "node.db").touch()  # a start that was cut off
    assert number_of_users(configured(tmp_path)) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::"])
def test_another_address_needs_a_way_to_sign_in(tmp_path: Path, sqlite: Database, host: str) -> None:
    (refused,) = ways_to_sign_in(configured(tmp_path, host=host))
    assert (refused.key, refused.state) == ("status.host", "bad")
    assert "condyle user add NAME --role administrator" in refused.sentence
    for way in (
        {"token": "0123456789abcdef"},
        {"url": "https://condyle.example.org", "openid": OPENID},
        {"tls": {"certificate": "c", "key": "k", "trusted": "t"}},
    ):
        assert states(configured(tmp_path, host=host, **way)) == {"status": "good"}
    users = Users(sqlite, Passwords(QUICK))
    users.add("anna", PASSWORD, Role.ADMINISTRATOR, "root")
    assert states(configured(tmp_path, host=host)) == {"status": "good"}
    users.disable("anna", "root")
    assert states(configured(tmp_path, host=host)) == {"status.host": "bad"}


def test_this_machine_needs_none(tmp_path: Path) -> None:
    (result,) = ways_to_sign_in(configured(tmp_path))
    assert (result.state, result.sentence) == (
        "good",
        "whoever is at this machine is administrator, without signing in",
    )


def test_passwords_in_clear_are_doubtful(tmp_path: Path, sqlite: Database) -> None:
    Users(sqlite, Passwords(QUICK)).add("anna", PASSWORD, Role.ADMINISTRATOR, "root")
    (result,) = sign_in_settings(configured(tmp_path, host="0.0.0.0"))
    assert (result.key, result.state) == ("status.host", "doubtful")
    for more in ({"url": "https://condyle.example.org"}, {"tls": {"certificate": "c", "key": "k"}}):
        assert list(sign_in_settings(configured(tmp_path, host="0.0.0.0", **more))) == []
    assert list(sign_in_settings(configured(tmp_path))) == []
