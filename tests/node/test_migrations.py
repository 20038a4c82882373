from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, select, text
from sqlalchemy.orm import Session

from node.database.connection import open_database
from node.database.migrations import configuration, migrate
from node.database.tables import Base, CommitmentRow
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
