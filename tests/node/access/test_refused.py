"""Refused sign-ins are counted in the audit trail: a row for each hour and kind, and no name that nobody has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from node.access.refused import RefusedSignIns
from node.database.connection import Database
from node.database.tables import SIGN_IN_REFUSED, AuditRow

pytestmark = pytest.mark.postgres


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 10, 20, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def rows(database: Database) -> list[tuple[str, str, int, str]]:
    with Session(database) as session:
        found = session.scalars(select(AuditRow).order_by(AuditRow.id)).all()
        assert {row.what for row in found} <= {SIGN_IN_REFUSED}
        return [(row.who, row.detail["reason"], row.times, row.detail["first_from"]) for row in found]


def test_a_thousand_refusals_of_an_hour_are_one_row(database: Database) -> None:
    clock = Clock()
    refused = RefusedSignIns(database, clock)
    refused.add("wrong name or password", "10.1.1.1", "anna")
    assert rows(database) == [("anna", "wrong name or password", 1, "10.1.1.1")]  # the first is there at once
    for number in range(999):
        refused.add("wrong name or password", f"10.1.2.{number % 250}", "anna")
    clock.now += timedelta(seconds=6)
    refused.write_if_due()
    assert rows(database) == [("anna", "wrong name or password", 1000, "10.1.1.1")]


def test_kinds_users_and_hours_are_told_apart(database: Database) -> None:
    clock = Clock()
    refused = RefusedSignIns(database, clock)
    refused.add("wrong name or password", "10.1.1.1", "anna")
    refused.add("wrong name or password", "10.1.1.1")
    refused.add("no such token", "10.1.1.1")
    clock.now += timedelta(hours=1)
    refused.add("no such token", "10.1.1.1")
    assert [row[:3] for row in rows(database)] == [
        ("anna", "wrong name or password", 1),
        ("", "wrong name or password", 1),
        ("", "no such token", 1),
        ("", "no such token", 1),
    ]


def test_two_nodes_on_one_database_count_together(database: Database) -> None:
    clock = Clock()
    for node in (RefusedSignIns(database, clock), RefusedSignIns(database, clock)):
        node.add("no such token", "10.1.1.1")
    assert [row[2] for row in rows(database)] == [2]


def test_what_is_counted_outlasts_a_database_that_is_away_and_is_written_at_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    refused = RefusedSignIns(database, clock)
    refused.add("no such token", "10.1.1.1")
    refused.add("no such token", "10.1.1.2")

    def is_away(*_: object) -> bool:
        raise OperationalError("UPDATE", {}, OSError("away"))

    with monkeypatch.context() as away:
        away.setattr(RefusedSignIns, "_more", is_away)
        with pytest.raises(OperationalError):
            refused.write()
        refused.close()  # the end does not fail by it
    assert rows(database)[0][2] == 1
    refused.close()
    assert rows(database)[0][2] == 2
