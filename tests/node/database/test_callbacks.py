"""Who waits to be told: one node takes each, and another where that one is gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from node.database import callbacks
from node.database.callbacks import LEASE, CallbackState
from node.database.connection import Database

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def claimed(database: Database, at: datetime, *leaving_out: str) -> str | None:
    with Session(database) as session, session.begin():
        row = callbacks.claim(session, at, leaving_out)
        return None if row is None else row.receiver


def test_a_callback_is_one_nodes_until_its_lease_is_over_or_it_lets_go(database: Database) -> None:
    with Session(database) as session, session.begin():
        callbacks.ask(session, "ris", "https://ris/", "1.2.3", NOW, jobs=["a"])
    assert claimed(database, NOW, "ris") is None
    assert claimed(database, NOW) == "ris"
    assert claimed(database, NOW + LEASE - timedelta(seconds=1)) is None
    later = NOW + LEASE
    with Session(database) as session, session.begin():
        row = callbacks.claim(session, later)  # that node is gone
        assert row is not None
        callbacks.move(session, row.id, CallbackState.WAITING, later, later=timedelta(seconds=9), failed_once_more=True)
        session.refresh(row)
        assert row.attempts == 1
        callback_id = row.id
    assert claimed(database, later + timedelta(seconds=8)) is None
    assert claimed(database, later + timedelta(seconds=9)) == "ris"
    with Session(database) as session, session.begin():
        callbacks.move(session, callback_id, CallbackState.TOLD, later)
    assert claimed(database, later + timedelta(days=1)) is None


def test_who_asks_twice_for_the_same_is_told_once_and_for_another_job_twice(database: Database) -> None:
    with Session(database) as session, session.begin():
        for jobs in (["a", "b"], ["b", "a"], ["a"]):
            callbacks.ask(session, "ris", "https://ris/", "1.2.3", NOW, jobs=jobs)
    assert [claimed(database, NOW) for _ in range(3)] == ["ris", "ris", None]
