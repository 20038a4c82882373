"""Alerts begin, last and end; a row tells of one subject, and each change is said once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.config.alerts import DestinationDown, Lasting, ResultMade
from node.database import alert_notices, alerts
from node.database.alerts import Observation
from node.database.connection import Database
from node.database.tables import AlertNoticeRow, AlertRow, JobRow
from tests.node.backlog import add, job_row, whole_tables_read

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULE = DestinationDown(kind="destination_down", after=2 * MINUTE, calm=3 * MINUTE, repeat=60 * MINUTE)


def seen(*subjects: str, since: datetime | None = None) -> list[Observation]:
    return [Observation(subject, f"{subject} is down", "Why.", since=since) for subject in subjects]


def settled(
    database: Database, what: Sequence[Observation], minutes: float, *, rule: Lasting = RULE, silenced: bool = False
) -> list[tuple[str, str]]:
    now = NOW + minutes * MINUTE
    with Session(database) as session, session.begin():
        changes = alerts.settle(session, "it", rule, "", what, now, silenced=silenced)
        return [(change.alert.subject, change.event.value) for change in changes]


def test_each_subject_begins_and_ends_on_its_own(database: Database) -> None:
    assert settled(database, seen("a"), 0) == []
    assert settled(database, seen("a", "b"), 2) == [("a", "begun")]
    assert settled(database, seen("a", "b"), 4) == [("b", "begun")]
    assert settled(database, seen("b"), 5) == []
    assert settled(database, seen("b"), 8) == [("a", "over")]
    assert settled(database, seen("b"), 63) == []
    assert settled(database, seen("b"), 64) == [("b", "lasting")]
    with Session(database) as session:
        rows = session.scalars(select(AlertRow).order_by(AlertRow.subject)).all()
        assert [(row.subject, row.state, row.since, row.ended) for row in rows] == [
            ("a", "over", NOW, NOW + 5 * MINUTE),
            ("b", "firing", NOW + 2 * MINUTE, None),
        ]
        assert [row.subject for row in alerts.firing(session)] == ["b"]
        assert [row.subject for row in alerts.past(session, 10)] == ["a"]


def test_what_does_not_last_is_never_told_and_is_in_no_list(database: Database) -> None:
    assert settled(database, seen("a"), 0) == []
    assert settled(database, [], 1) == []
    assert settled(database, seen("a"), 2) == []  # anew
    with Session(database) as session:
        assert alerts.past(session, 10) == []


def test_what_has_lasted_before_it_was_seen_is_told_at_once(database: Database) -> None:
    assert settled(database, seen("a", since=NOW - 5 * MINUTE), 0) == [("a", "begun")]


def test_what_is_silenced_is_told_when_it_lasts_longer_and_its_end_to_those_alone_who_know_of_it(
    database: Database,
) -> None:
    settled(database, seen("a", "b"), 0)
    assert settled(database, seen("a", "b"), 2, silenced=True) == []
    assert settled(database, seen("a"), 3, silenced=True) == []
    assert settled(database, seen("a"), 6) == [("a", "begun")]
    assert settled(database, seen("a"), 9) == []  # b was told to nobody


def test_a_subject_that_is_too_long_for_the_table_is_cut_and_known_again(database: Database) -> None:
    for minute in (0, 2, 3):
        settled(database, seen("x" * 500), minute)
    with Session(database) as session:
        (row,) = session.scalars(select(AlertRow))
        assert (len(row.subject), row.times) == (160, 1)


def test_one_rule_is_looked_at_by_one_node(database: Database) -> None:
    with Session(database) as session, session.begin():
        alerts.enter_rules(session, ["a", "b"], NOW)
        assert alerts.claim(session, ["a"], "one", 60) == {"a"}
        assert alerts.locked(session, "a", "one") is not None
    if database.dialect.name == "postgresql":
        with Session(database) as session, session.begin():
            assert alerts.claim(session, ["a", "b"], "two", 60) == {"b"}
            assert alerts.locked(session, "a", "two") is None


def test_what_happened_is_told_once_and_goes_with_its_job(database: Database) -> None:
    job_id = "a" * 32
    add(database, JobRow, [job_row(job_id)])
    rule = ResultMade(kind="result", when={"state": "done"})
    one = [Observation(f"{job_id}:done", "a result", "Why.", job_id=job_id, since=NOW)]
    with Session(database) as session, session.begin():
        (change,) = alerts.record(session, "it", rule, one, NOW)
        assert alerts.record(session, "it", rule, one, NOW) == []
        alert_notices.add(session, change.alert.id, "mail", {}, NOW, NOW)
    with Session(database) as session, session.begin():
        alerts.forget_jobs(session, [job_id])
    with Session(database) as session:
        assert session.scalars(select(AlertRow)).all() == []
        assert session.scalars(select(AlertNoticeRow)).all() == []


def test_what_is_open_is_found_by_an_index(database: Database) -> None:
    settled(database, seen("a"), 0)
    with whole_tables_read(database) as read, Session(database) as session:
        alerts.open_alerts(session, "it", "")
    assert read == set()
