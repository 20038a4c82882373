"""Whether the node's database can be used is seen before it starts, with the cause where it cannot."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.engine.interfaces import Dialect

from node.config import Configuration
from node.config.check_result import CheckResult
from node.database.checks import database
from node.database.connection import driver_problem
from node.demo.orthanc_process import free_port
from node.run.job_engine import set_up
from tests.node.send.outgoing import outgoing
from tests.postgres import Postgres


def results(data: Path, url: str | None = None) -> list[CheckResult]:
    return list(database(Configuration.model_validate({"node": {"data": str(data), "database": url}})))


def test_a_database_that_is_not_made_yet_is_no_problem_and_stays_so(tmp_path: Path) -> None:
    assert results(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_database_of_a_node_is_good_and_not_touched(tmp_path: Path) -> None:
    set_up(Configuration.model_validate({"node": {"data": str(tmp_path)}})).dispose()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert [result.state for result in results(tmp_path)] == ["good"]
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "node.db").write_text("no database, but long enough to be looked at as one" * 20)
    (found,) = results(tmp_path)
    assert (found.state, found.key) == ("bad", "node.database")
    assert found.sentence.endswith("node.db: file is not a database")


def test_a_database_in_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    (found,) = results(tmp_path, f"sqlite:///{tmp_path}/none/node.db")
    assert "there is no such folder" in found.sentence


def test_a_database_of_another_folder_is_told(tmp_path: Path) -> None:
    for name in ("one", "two"):
        set_up(Configuration.model_validate({"node": {"data": str(tmp_path / name)}})).dispose()
    (found,) = results(tmp_path / "one", f"sqlite:///{tmp_path}/two/node.db")
    assert found.state == "bad"
    assert "do not belong together" in found.sentence


def test_a_server_that_is_not_there_is_told_with_the_cause_and_without_the_password(tmp_path: Path) -> None:
    port = free_port()
    (found,) = results(tmp_path, f"postgresql+psycopg://u:geheim@127.0.0.1:{port}/x")
    assert found.state == "bad"
    assert f"postgresql+psycopg://u:***@127.0.0.1:{port}/x: connection failed" in found.sentence
    assert "Connection refused" in found.sentence
    assert "geheim" not in found.sentence


@pytest.mark.postgres
def test_a_server_says_itself_what_is_wrong(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.database()
    assert [result.state for result in results(tmp_path, url)] == ["good"]
    (found,) = results(tmp_path, make_url(url).set(database="none").render_as_string(hide_password=False))
    assert 'database "none" does not exist' in found.sentence


def test_a_driver_that_is_not_installed_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    url = make_url("postgresql+psycopg://h/x")

    def missing(_: type[Dialect]) -> None:
        raise ImportError("No module named 'psycopg'")

    monkeypatch.setattr(url.get_dialect(), "import_dbapi", classmethod(missing))
    told = "the driver psycopg is not there (No module named 'psycopg'); install it: pip install \"psycopg[binary]\""
    assert driver_problem(url) == told


def test_sqlite_needs_no_driver_of_its_own() -> None:
    assert sqlite3.sqlite_version
    assert driver_problem(make_url("sqlite:////folder/node.db")) is None


def test_objects_that_wait_for_a_destination_that_is_gone_are_told(tmp_path: Path) -> None:
    with outgoing(tmp_path) as out:
        out.job("gone", kinds=("derived_series", "report"))
        out.job("gone", "folder")
    folder = {"folder": {"kind": "folder", "path": str(tmp_path / "results")}}
    asked = Configuration.model_validate({"node": {"data": str(tmp_path)}, "destinations": folder})
    found = [result for result in database(asked) if result.state == "doubtful"]
    assert [result.key for result in found] == ["destinations.gone"]
    assert "3 objects of 2 jobs wait for it: they end as failed when the node starts" in found[0].sentence


def test_a_database_of_a_newer_version_is_told(tmp_path: Path) -> None:
    set_up(Configuration.model_validate({"node": {"data": str(tmp_path)}})).dispose()
    with closing(sqlite3.connect(tmp_path / "node.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    (found,) = results(tmp_path)
    assert (found.state, found.key) == ("bad", "node.database")
    assert "a newer version of Condyle has used it (step 9999" in found.sentence
