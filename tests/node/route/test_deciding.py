"""Decisions go on, whatever one study holds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import open_database
from node.database.jobs import Job
from node.database.tables import AuditRow, Base
from node.route.completion import Complete
from node.route.deciding import Deciding
from node.route.dispatch import Dispatcher

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def complete(series: str) -> Complete:
    return Complete("series", "1.2.3", series, ("1",), late=False, last_received=NOW, counts={series: 1})


class Feed:
    """A completion that says the same until it is settled, which never happens here."""

    def poll(self, *, studies: bool = True) -> list[Complete]:
        return [complete("bad"), complete("good")]


class Picky(Dispatcher):
    """Falls over one of the series, as over headers that nobody had thought of."""

    def dispatch(self, what: Complete) -> list[object]:  # type: ignore[override]
        if what.series_instance_uid == "bad":
            raise ZeroDivisionError("Secret^Anna")
        self.dispatched = [*getattr(self, "dispatched", []), what.series_instance_uid]
        return []


def submit(job: Job) -> None:
    raise AssertionError("nothing matches")


def test_a_series_that_cannot_be_decided_about_costs_the_next_one_nothing_and_is_on_record(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    Base.metadata.create_all(database)
    dispatcher = Picky(Configuration(), database, submit, lambda: NOW)
    deciding = Deciding(Feed(), dispatcher)  # type: ignore[arg-type]
    deciding.dispatch_complete()
    deciding.dispatch_complete()
    assert dispatcher.dispatched == ["good", "good"]
    with Session(database) as session:
        (record,) = session.scalars(select(AuditRow))  # once: it is left alone for a while
        assert record.detail == {
            "study_instance_uid": "1.2.3",
            "series_instance_uid": "bad",
            "error": "ZeroDivisionError",
        }
    database.dispose()
