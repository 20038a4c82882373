"""The command lists who did what, and finds out where the files were changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from node.audit.chain import Chain
from node.audit.trail import AuditTrail
from node.config.route_settings import read_with_settings
from node.database import audit
from node.database.tables import ERASED, NODE_STARTED
from node.run.job_engine import set_up
from tests.command_line import Condyle


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node of which two lines are on record, and in the files."""
    path = tmp_path / "config.yaml"
    path.write_text("node: {data: data}\n", encoding="utf-8")
    configuration = read_with_settings(path)
    database = set_up(configuration)
    with Session(database) as session, session.begin():
        audit.note(session, NODE_STARTED, "", version="0.1.0")
        audit.note(session, ERASED, "anna", study_instance_uid="1.2.3", instances=3)
    AuditTrail(configuration, database).write()
    database.dispose()
    return path


def test_lines_are_listed_the_latest_first_and_as_json(condyle: Condyle, config: Path) -> None:
    table = condyle("audit", "list", "-c", config).stdout
    assert table.index("study erased") < table.index("node started")
    assert "instances: 3" in table
    (line,) = json.loads(condyle("audit", "list", "--who", "anna", "--json", "-c", config).stdout)
    assert (line["what"], line["study_instance_uid"], line["number"]) == ("study erased", "1.2.3", 2)


def test_files_as_they_were_written_are_told_so_with_the_last_digest(condyle: Condyle, config: Path) -> None:
    (*_, last) = Chain(config.parent / "data").after(0)
    ended = condyle("audit", "verify", "-c", config)
    assert ended.returncode == 0
    assert "2 lines from" in ended.stdout
    assert last.digest in ended.stdout
    assert condyle("audit", "verify", "--contains", last.digest, "-c", config).returncode == 0


def test_a_change_is_told_with_exit_code_1(condyle: Condyle, config: Path) -> None:
    (path,) = Chain(config.parent / "data").files()
    path.write_text(path.read_text(encoding="utf-8").replace("anna", "bert"), encoding="utf-8")
    ended = condyle("audit", "verify", "-c", config)
    assert ended.returncode == 1
    assert "line 2 was changed" in ended.stdout
    told = json.loads(condyle("audit", "verify", "--json", "-c", config).stdout)
    assert len(told["problems"]) == 1


def test_a_digest_that_was_noted_and_is_gone_is_told(condyle: Condyle, config: Path) -> None:
    ended = condyle("audit", "verify", "--contains", "ab" * 32, "-c", config)
    assert ended.returncode == 1
    assert "no line has the digest abab" in ended.stdout
