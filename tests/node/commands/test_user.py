"""`condyle user`: also before the first start, and never with a password on the command line."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.commands.operator import operator
from node.database.connection import open_database
from node.database.tables import AuditRow
from tests.command_line import Condyle
from tests.node.access.quick import PASSWORD


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"node": {"data": "data"}}), encoding="utf-8")
    return path


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    return path


def test_users_are_added_listed_changed_and_removed(
    condyle: Condyle, config: Path, password: Path, tmp_path: Path
) -> None:
    def call(*arguments: object) -> tuple[int, str, str]:
        ended = condyle("user", *arguments, "--config", config)
        assert PASSWORD not in ended.stdout + ended.stderr
        return ended.returncode, ended.stdout, ended.stderr

    code, out, _ = call("add", "Anna", "--role", "administrator", "--patients", "--password-file", password)
    assert (code, out.splitlines()[0]) == (0, "anna may sign in as administrator")
    assert "From now on everybody signs in" in out
    code, _, told = call("add", "anna", "--password-file", password)
    assert (code, told) == (1, "anna: there is such a user already\n")
    assert call("add", "otto", "--password-file", password)[:2] == (0, "otto may sign in as viewer\n")
    listed = json.loads(call("list", "--json")[1])
    assert [(one["name"], one["role"], one["sees_patients"]) for one in listed] == [
        ("anna", "administrator", True),
        ("otto", "viewer", False),
    ]
    assert call("role", "otto", "operator", "--patients")[:2] == (0, "otto is operator\n")
    assert call("password", "otto", "--password-file", password)[:2] == (0, "otto has another password\n")
    assert call("disable", "otto")[:2] == (0, "otto may not sign in any more\n")
    assert "disabled" in call("list")[1]
    assert call("enable", "otto")[:2] == (0, "otto may sign in\n")
    assert call("remove", "otto")[:2] == (0, "otto is removed\n")
    assert call("remove", "otto")[0::2] == (1, "otto: there is no such user; condyle user list shows them\n")
    database = open_database(f"sqlite:///{tmp_path / 'data' / 'node.db'}")
    with Session(database) as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.id)).all()
        assert {row.who for row in rows} == {operator()}
        assert len(rows) == 7
        assert PASSWORD not in str([row.detail for row in rows])
    database.dispose()


def test_a_password_comes_from_standard_input_or_a_file_and_is_looked_at(
    condyle: Condyle, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("user", "add", "anna", "--role", "administrator", "--config", config)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))
    assert condyle(*arguments, "--password-file", "-").returncode == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    ended = condyle("user", "password", "anna", "--config", config, "--password-file", "-")
    assert (ended.returncode, ended.stderr[:30]) == (1, "the password has 5 characters;")
    ended = condyle("user", "password", "anna", "--config", config, "--password-file", "nowhere")
    assert (ended.returncode, ended.stderr) == (3, "--password-file: nowhere: there is no such file\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    ended = condyle("user", "password", "anna", "--config", config)
    assert (ended.returncode, "say --password-file FILE, or - for it" in ended.stderr) == (2, True)


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(config: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "node", "user", "add", "anna", "--role", "administrator", "--config", str(config)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    for question in (b"Password: ", b"The same again: "):
        while question not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, f"{PASSWORD}\n".encode())
    while b"may sign in as administrator" not in shown:
        shown += os.read(ours, 1000)
    assert process.wait(30) == 0
    os.close(ours)
    assert PASSWORD.encode() not in shown


def test_the_first_user_is_an_administrator_unless_a_provider_knows_others(
    condyle: Condyle, config: Path, password: Path
) -> None:
    ended = condyle("user", "add", "Otto", "--role", "operator", "--password-file", password, "--config", config)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("The first user should be an administrator")
    assert "condyle user add otto --role administrator" in ended.stderr
    openid = {"issuer": "https://login.example", "client_id": "condyle", "roles": {"staff": "administrator"}}
    settings = {"node": {"data": "data"}, "status": {"url": "https://condyle.example", "openid": openid}}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    ended = condyle("user", "add", "otto", "--role", "operator", "--password-file", password, "--config", config)
    assert (ended.returncode, ended.stdout.splitlines()[0]) == (0, "otto may sign in as operator")
