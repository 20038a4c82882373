"""Notices of one moment go in one message, that one node sends at a time, under an id that stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from node.database import alert_notices
from node.database.alert_notices import LEASE, Batch
from node.database.connection import Database
from node.database.tables import AlertRow
from tests.node.backlog import whole_tables_read

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def alert(database: Database) -> int:
    with Session(database) as session, session.begin():
        row = AlertRow(rule="it", subject="x", severity="info", state="firing", since=NOW, title="t", sentence="s")
        session.add(row)
        session.flush()
        return row.id


def add(database: Database, alert_id: int, number: int, at: datetime = NOW, channel: str = "mail") -> None:
    with Session(database) as session, session.begin():
        alert_notices.add(session, alert_id, channel, {"number": number}, at, NOW)


def claimed(database: Database, at: datetime) -> Batch | None:
    with Session(database) as session, session.begin():
        return alert_notices.claim(session, "mail", at)


def numbers(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [content["number"] for content in batch.contents]


def test_what_is_due_goes_together_and_what_comes_later_on_its_own(database: Database) -> None:
    alert_id = alert(database)
    for number in (1, 2):
        add(database, alert_id, number)
    add(database, alert_id, 3, NOW + MINUTE)
    add(database, alert_id, 4, channel="chat")
    first = claimed(database, NOW)
    assert numbers(first) == [1, 2]
    assert claimed(database, NOW) is None
    assert numbers(claimed(database, NOW + MINUTE)) == [3]


def test_a_message_that_is_tried_again_holds_the_same_under_the_same_id(database: Database) -> None:
    alert_id = alert(database)
    for number in (1, 2):
        add(database, alert_id, number)
    first = claimed(database, NOW)
    assert first is not None
    with Session(database) as session, session.begin():
        alert_notices.put_off(session, first.id, "mail: away", NOW + MINUTE)
    add(database, alert_id, 3)
    second = claimed(database, NOW)
    assert numbers(second) == [3]
    again = claimed(database, NOW + MINUTE)
    assert again is not None
    assert (again.id, numbers(again), again.attempts) == (first.id, [1, 2], 1)
    with Session(database) as session, session.begin():
        (unsent,) = alert_notices.unsent(session)
        assert (unsent.channel, unsent.notices, unsent.since, unsent.answer) == ("mail", 2, NOW, "mail: away")
        alert_notices.note_sent(session, again.id, "SMTP 250", NOW)
    with Session(database) as session:
        assert alert_notices.unsent(session) == []


def test_a_node_that_goes_away_leaves_its_message_to_another(database: Database) -> None:
    add(database, alert(database), 1)
    first = claimed(database, NOW)
    assert claimed(database, NOW + LEASE - MINUTE) is None
    assert claimed(database, NOW + LEASE) == first


def test_what_is_due_is_found_by_an_index(database: Database) -> None:
    alert_id = alert(database)
    for number in range(3):
        add(database, alert_id, number)
    with whole_tables_read(database) as read, Session(database) as session, session.begin():
        batch = alert_notices.claim(session, "mail", NOW)
        assert batch is not None
        alert_notices.note_sent(session, batch.id, "", NOW)
    assert read == set()
