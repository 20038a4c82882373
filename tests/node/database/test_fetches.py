"""Requests whose study is fetched: one node takes each, and another where that one is gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from node.database import fetches
from node.database.connection import Database, open_database
from node.database.fetches import LEASE, FetchState
from node.database.migrations import migrate
from node.database.tables import FetchRow

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


def ask(database: Database, request: str = "r", at: datetime = NOW) -> None:
    with Session(database) as session, session.begin():
        fetches.ask(session, request, "pacs", "1.2.3", {"route": "knee"}, at)


def claimed(database: Database, at: datetime) -> tuple[str, str] | None:
    with Session(database) as session, session.begin():
        row = fetches.claim(session, at)
        return None if row is None else (row.id, row.state)


def test_a_request_is_taken_once_until_its_node_is_gone(database: Database) -> None:
    ask(database)
    assert claimed(database, NOW) == ("r", FetchState.FETCHING)
    assert claimed(database, NOW + LEASE) is None
    with Session(database) as session, session.begin():
        fetches.renew(session, "r", NOW + LEASE)
    assert claimed(database, NOW + LEASE + SECOND) is None
    assert claimed(database, NOW + 2 * LEASE + SECOND) == ("r", FetchState.FETCHING)


def test_what_is_put_off_is_left_alone_and_the_next_has_its_turn(database: Database) -> None:
    ask(database, "first")
    ask(database, "second", NOW + SECOND)
    assert claimed(database, NOW + SECOND) == ("first", FetchState.FETCHING)
    with Session(database) as session, session.begin():
        later = timedelta(minutes=1)
        fetches.move(session, "first", FetchState.WAITING, NOW, reason="away", later=later, failed_once_more=True)
    assert claimed(database, NOW + SECOND) == ("second", FetchState.FETCHING)
    assert claimed(database, NOW + 30 * SECOND) is None
    assert claimed(database, NOW + timedelta(minutes=1)) == ("first", FetchState.FETCHING)


def test_since_when_a_request_is_in_its_state_is_known_however_often_it_is_looked_at(database: Database) -> None:
    ask(database)
    with Session(database) as session, session.begin():
        fetches.move(session, "r", FetchState.ARRIVED, NOW + SECOND)
    assert claimed(database, NOW + 2 * SECOND) is not None
    with Session(database) as session, session.begin():
        fetches.move(session, "r", FetchState.ARRIVED, NOW + 3 * SECOND, reason="is not complete yet")
    with Session(database) as session:
        row = session.get_one(FetchRow, "r")
        assert (row.updated, row.reason) == (NOW + SECOND, "is not complete yet")


def test_what_has_arrived_stays_so_while_a_node_has_it(database: Database) -> None:
    ask(database)
    with Session(database) as session, session.begin():
        fetches.move(session, "r", FetchState.ARRIVED, NOW)
    assert claimed(database, NOW) == ("r", FetchState.ARRIVED)


@pytest.mark.parametrize(
    ("state", "after"), [(FetchState.FAILED, FetchState.WAITING), (FetchState.ARRIVED, FetchState.ARRIVED)]
)
def test_asked_for_again_it_begins_anew_only_where_it_had_ended(
    database: Database, state: FetchState, after: FetchState
) -> None:
    ask(database)
    with Session(database) as session, session.begin():
        fetches.move(session, "r", state, NOW, reason="why", failed_once_more=True)
    ask(database, at=NOW + SECOND)
    with Session(database) as session:
        row = session.get_one(FetchRow, "r")
        assert (row.state, row.attempts) == (after, 0 if after is FetchState.WAITING else 1)
