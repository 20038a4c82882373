from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import JSON, Column, MetaData, create_engine, inspect, select, text
from sqlalchemy.orm import Session

from node.database.connection import open_database
from node.database.migrations import configuration, migrate
from node.database.tables import Base, CommitmentRow, ObjectRow, OutboxRow, SeriesRow
from node.errors import ConfigurationError
from tests.postgres import Postgres


def differences(url: str) -> list[object]:
    """What a new step would have to do, on the tables that are ours."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            ours = {"include_name": lambda name, kind, _: kind != "table" or name in Base.metadata.tables}
            found = compare_metadata(MigrationContext.configure(connection, opts=ours), Base.metadata)
            return list(found)
    finally:
        engine.dispose()


def migrated(url: str) -> None:
    engine = open_database(url)
    migrate(engine)
    engine.dispose()


def test_the_steps_lead_to_the_tables_of_the_records_on_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'node.db'}"
    migrated(url)
    assert differences(url) == []


@pytest.mark.postgres
def test_the_steps_lead_to_the_tables_of_the_records_on_postgresql(postgres: Postgres) -> None:
    url = postgres.database()
    migrated(url)
    assert differences(url) == []


def test_a_transaction_that_was_asked_for_before_an_upgrade_is_not_asked_for_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'node.db'}"
    engine = open_database(url)
    with engine.connect() as connection:
        command.upgrade(configuration(connection), "0004")
        for uid, answer in (("1.1", "asked"), ("1.2", "")):
            connection.execute(
                text(
                    "INSERT INTO commitment VALUES"
                    " (:uid, 'out', 'pacs', '[]', 'waiting', 1, '2026-01-02 12:00:00', '2026-01-02 12:00:00', :answer)"
                ),
                {"uid": uid, "answer": answer},
            )
        connection.commit()
    migrate(engine)
    with Session(engine) as session:
        rows = session.scalars(select(CommitmentRow).order_by(CommitmentRow.transaction_uid)).all()
        assert [(row.asked, row.answer) for row in rows] == [(True, ""), (False, "")]
    engine.dispose()


@pytest.mark.postgres
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_whole_paths_and_cancelled_lines_of_an_earlier_version_become_what_they_are_now(
    tmp_path: Path, postgres: Postgres, kind: str
) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'node.db'}" if kind == "sqlite" else postgres.database())
    job_id, early = "ab" * 16, MetaData()
    with engine.connect() as connection:
        command.upgrade(configuration(connection), "0005")
        early.reflect(connection, only=["job", "object", "outbox"])
        job, made, outbox = (early.tables[name] for name in ("job", "object", "outbox"))
        now = datetime(2026, 1, 2, tzinfo=UTC)
        values = {column.name: _any_value(column, now) for column in job.columns}
        connection.execute(job.insert().values({**values, "id": job_id}))
        paths = [f"/srv/jobs/data/jobs/{job_id}/objects/x/1.dcm", f"jobs/{job_id}/objects/x/2.dcm", "/elsewhere/3.dcm"]
        answers = ["cancelled by an operator", "0x0122", ""]
        for number, (path, answer) in enumerate(zip(paths, answers, strict=True)):
            uid = f"1.{number}"
            row = {column.name: _any_value(column, now) for column in made.columns}
            connection.execute(made.insert().values({**row, "sop_instance_uid": uid, "job_id": job_id, "path": path}))
            row = {column.name: _any_value(column, now) for column in outbox.columns if column.name != "id"}
            row |= {"sop_instance_uid": uid, "job_id": job_id, "state": "skipped", "answer": answer}
            connection.execute(outbox.insert().values(row))
        connection.commit()
    migrate(engine)
    with Session(engine) as session:
        found = session.scalars(select(ObjectRow.path).order_by(ObjectRow.sop_instance_uid)).all()
        assert found == [f"jobs/{job_id}/objects/x/1.dcm", f"jobs/{job_id}/objects/x/2.dcm", "/elsewhere/3.dcm"]
        states = session.scalars(select(OutboxRow.state).order_by(OutboxRow.sop_instance_uid)).all()
        assert states == ["cancelled", "skipped", "skipped"]
    engine.dispose()


def _any_value(column: Column[Any], now: datetime) -> object:
    if column.nullable:
        return None
    if isinstance(column.type, JSON):
        return {}
    kind = column.type.python_type
    return now if kind is datetime else kind()


def test_a_database_of_a_newer_version_is_left_alone_and_said_to_be_one(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=r"node\.database: a newer version of Condyle has used it"):
        migrate(engine)
    engine.dispose()


def test_what_was_decided_while_headers_could_not_be_read_is_decided_again_after_an_upgrade(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'node.db'}"
    engine = open_database(url)
    with engine.connect() as connection:
        command.upgrade(configuration(connection), "0005")
        for uid, key in (("1.1", "readable headers"), ("1.2", "Modality")):
            for table, columns in (
                (
                    "series",
                    "(series_instance_uid, study_instance_uid, modality, instances, first_received,"
                    " last_received, last_association_id, routed_instances, study_routed_instances)"
                    " VALUES (:uid || '.1', :uid, 'MR', 3, :at, :at, 'a', 3, 3)",
                ),
                (
                    "decision",
                    "(route, level, study_instance_uid, series_instance_uid, matched, trace, decided)"
                    " VALUES ('knee', 'series', :uid, :uid || '.1', 0, :trace, :at)",
                ),
                (
                    "decision",
                    "(route, level, study_instance_uid, matched, trace, decided)"
                    " VALUES ('hands', 'study', :uid, 0, :trace, :at)",
                ),
            ):
                trace = json.dumps({"series": [{"clauses": [{"key": key, "holds": False}]}]})
                values = {"uid": uid, "at": "2026-01-02 12:00:00", "trace": trace}
                connection.execute(text(f"INSERT INTO {table} {columns}"), values)
        connection.commit()
    migrate(engine)
    with Session(engine) as session:
        rows = session.scalars(select(SeriesRow).order_by(SeriesRow.series_instance_uid)).all()
        assert [(row.routed_instances, row.study_routed_instances) for row in rows] == [(0, 0), (3, 3)]
    engine.dispose()


def test_an_empty_database_differs(tmp_path: Path) -> None:
    assert differences(f"sqlite:///{tmp_path / 'node.db'}")


@pytest.mark.postgres
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_that_start_at_once_make_the_tables_once(tmp_path: Path, postgres: Postgres, kind: str) -> None:
    url = f"sqlite:///{tmp_path / 'node.db'}" if kind == "sqlite" else postgres.database()
    with ThreadPoolExecutor(6) as processes:
        list(processes.map(migrated, [url] * 6))
    engine = create_engine(url)
    assert set(Base.metadata.tables) <= set(inspect(engine).get_table_names())
    engine.dispose()
