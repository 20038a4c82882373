"""`condyle token`: the token alone goes to standard output, once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from node.access.api_tokens import ApiTokens
from node.access.identity import Role
from node.config import Configuration
from node.database.connection import open_database
from node.run.job_engine import set_up
from tests.command_line import Condyle


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"node": {"data": "data"}}), encoding="utf-8")
    set_up(Configuration.model_validate({"node": {"data": str(tmp_path / "data")}})).dispose()
    return path


def test_tokens_are_made_listed_and_revoked(condyle: Condyle, config: Path, tmp_path: Path) -> None:
    made = condyle("token", "new", "nightly", "--scope", "operate", "--scope", "patients", "--config", config)
    assert made.returncode == 0
    assert re.fullmatch(r"condyle_[\w-]{43}\n", made.stdout)
    database = open_database(f"sqlite:///{tmp_path / 'data' / 'node.db'}")
    identity = ApiTokens(database).identity_of(made.stdout.strip())
    assert identity is not None
    assert (identity.role, identity.sees_patients) == (Role.OPERATOR, True)
    (listed,) = json.loads(condyle("token", "list", "--json", "--config", config).stdout)
    assert (listed["name"], listed["scopes"], listed["state"]) == ("nightly", ["patients", "operate"], "holds")
    table = condyle("token", "list", "--config", config).stdout
    assert "nightly" in table
    assert made.stdout.strip() not in table
    assert condyle("token", "revoke", "nightly", "--config", config).stdout == "nightly holds no more\n"
    assert ApiTokens(database).identity_of(made.stdout.strip()) is None
    database.dispose()
    for arguments, told in (
        (("revoke", "nightly"), "nightly: has been revoked already\n"),
        (("new", "nightly"), "nightly: there is or was a token of that name"),
        (("new", "two words"), "'two words': is no name of a token"),
    ):
        ended = condyle("token", *arguments, "--config", config)
        assert ended.returncode == 1
        assert ended.stderr.startswith(told)
