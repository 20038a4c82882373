from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from node.database import pauses
from node.database.connection import Database
from node.database.pauses import LOOK_S, PauseKind, Pauses

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
pytestmark = pytest.mark.postgres


def pause(database: Database, kind: PauseKind, name: str) -> bool:
    with Session(database) as session, session.begin():
        return pauses.pause(session, kind, name, "kim", "the archive moves", NOW)


def test_a_pause_is_there_until_it_is_ended(session: Session) -> None:
    assert pauses.pause(session, PauseKind.ROUTE, "knee", "kim", "a new coil", NOW)
    assert not pauses.pause(session, PauseKind.ROUTE, "knee", "lee", "again", NOW)
    assert pauses.pause(session, PauseKind.DESTINATION, "knee", "kim", "", NOW)
    session.flush()
    assert [(row.kind, row.name, row.who, row.why) for row in pauses.every(session)] == [
        ("destination", "knee", "kim", ""),
        ("route", "knee", "kim", "a new coil"),
    ]
    assert pauses.resume(session, PauseKind.ROUTE, "knee")
    assert not pauses.resume(session, PauseKind.ROUTE, "knee")
    assert pauses.find(session, PauseKind.ROUTE, "knee") is None
    assert pauses.find(session, PauseKind.DESTINATION, "knee") is not None


def test_the_look_up_asks_the_database_once_a_second_and_says_who_and_why(database: Database) -> None:
    now = [0.0]
    look_up = Pauses(database, lambda: now[0])
    assert look_up.destination("pacs") is None
    assert look_up.remark() is None
    pause(database, PauseKind.DESTINATION, "pacs")
    assert look_up.destination("pacs") is None
    now[0] = LOOK_S
    said = "destination pacs is paused by kim since 2026-11-20 09:30 UTC: the archive moves"
    assert look_up.destination("pacs") == said
    assert look_up.route("pacs") is None
    assert look_up.destination("web") is None


def test_what_strangers_read_names_neither_who_nor_why(database: Database) -> None:
    pause(database, PauseKind.ROUTE, "knee")
    said = Pauses(database).remark()
    assert said == "paused by an operator: route knee since 2026-11-20 09:30 UTC"


def test_what_was_known_holds_while_the_database_is_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    pause(database, PauseKind.ROUTE, "knee")
    now = [0.0]
    look_up = Pauses(database, lambda: now[0])
    assert look_up.route("knee")

    def away(_: Session) -> None:
        raise OperationalError("", None, Exception())

    monkeypatch.setattr(pauses, "every", away)
    now[0] = 10 * LOOK_S
    assert look_up.route("knee")
