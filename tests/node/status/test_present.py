"""What the first page says of now, read from the records of a morning."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from node.database import pauses
from node.database.connection import Database, open_database
from node.database.pauses import PauseKind
from node.database.tables import AssociationRow, AuditRow, Base, LaneRow, OutboxRow
from node.status import present
from node.status.present import BINS, Present
from tests.node.status.conftest import Morning
from tests.postgres import Postgres

pytestmark = pytest.mark.postgres
WORD = "PACS-B at 10.1.2.3:104: connection refused"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def of_morning(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[Morning]:
    """The records of a morning: pacs has been down since 425 s of it, and a lane of a destination that is gone."""
    folder = tmp_path_factory.mktemp("present")
    database = open_database(f"sqlite:///{folder}/node.db" if request.param == "sqlite" else postgres.database())
    Base.metadata.create_all(database)
    morning = Morning(database, folder)
    morning.fill()
    with Session(database) as session, session.begin():
        waiting = update(OutboxRow).where(OutboxRow.state == "waiting")
        session.execute(waiting.values(failing_since=morning.at(425)))
        session.execute(update(AssociationRow).where(AssociationRow.id == "a").values(ended=None, outcome="open"))
        for name in ("pacs", "gone"):
            session.add(LaneRow(destination=name, owner="n", seen=morning.zero))
        detail = {"status": "0xC000"}
        session.add(AuditRow(at=morning.at(1), what="instance not stored", times=7, detail=detail))
        session.add(AuditRow(at=morning.at(-90_000), what="instance not stored", times=9, detail=detail))
    yield morning
    database.dispose()


@pytest.fixture
def now(of_morning: Morning) -> Present:
    return Present(of_morning.database, {"pacs": "ARCHIVE", "web": "DICOMweb", "drop": "folder"})


def test_who_sent_within_the_hour_is_told_with_its_images(of_morning: Morning, now: Present) -> None:
    told = now.reception(datetime.now(UTC))
    assert (told.instances, told.is_open, told.more_senders, told.is_counted_whole) == (93, 1, 0, True)
    (sender,) = told.senders  # who was refused has sent nothing
    assert (sender.title, sender.way, sender.is_open, sender.associations) == ("MR1", "dimse", 1, 1)
    assert sender.instances == sum(sender.curve) == sum(told.curve) == 93
    assert len(told.curve) == BINS
    assert told.a_minute == 0  # the morning began half an hour ago
    assert sum(told.curve[: BINS // 2 - 1]) == 0
    busy = now.reception(of_morning.at(600))
    assert busy.a_minute == pytest.approx(30 / 4)  # of the last four minutes


def test_of_too_many_images_the_latest_are_counted_and_it_is_said(
    now: Present, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(present, "COUNTED", 50)
    told = now.reception(datetime.now(UTC))
    assert (told.instances, told.is_counted_whole) == (50, False)


def test_an_hour_later_only_who_is_still_connected_is_told(of_morning: Morning, now: Present) -> None:
    told = now.reception(of_morning.at(3 * 3600))
    assert [(one.title, one.instances, one.is_open) for one in told.senders] == [("MR1", 0, 1)]


def test_what_is_under_way_is_told_by_pipeline(now: Present) -> None:
    (queue,) = now.queues()
    assert (queue.pipeline, queue.counts, queue.oldest) == ("knee_super_resolution", {"sending": 1}, None)
    assert [job.row.study_instance_uid for job in now.under_way()] == ["1.2.4"]
    assert now.requests() == ()


def test_destinations_tell_since_when_they_are_up_or_down_with_their_last_word(
    of_morning: Morning, now: Present
) -> None:
    told = {one.name: one for one in now.destinations(datetime.now(UTC))}
    assert list(told) == ["pacs", "web", "drop"]  # nothing waits for the one that is gone
    pacs, web, drop = told.values()
    assert (pacs.state, pacs.since, pacs.waiting, pacs.word) == ("down", of_morning.at(425), 1, WORD)
    assert (pacs.delivered, pacs.last_delivered) == (2, of_morning.at(42))
    assert (drop.state, drop.since, drop.waiting, drop.word) == ("up", of_morning.at(42), 0, "")
    assert (web.state, web.since, web.last_delivered) == ("not used yet", None, None)


def test_a_destination_that_is_paused_is_told_as_such(of_morning: Morning, now: Present) -> None:
    with Session(of_morning.database) as session, session.begin():
        pauses.pause(session, PauseKind.DESTINATION, "pacs", "otto", "it moves", of_morning.at(500))
        pauses.pause(session, PauseKind.ROUTE, "drop", "otto", "a route", of_morning.at(500))
    pacs, _, drop = now.destinations(datetime.now(UTC))
    assert (pacs.state, pacs.since, pacs.waiting) == ("paused", of_morning.at(500), 1)
    assert pacs.paused.startswith("destination pacs is paused by otto")
    assert (drop.state, drop.paused) == ("up", "")
    with Session(of_morning.database) as session, session.begin():
        pauses.resume(session, PauseKind.DESTINATION, "pacs")
        pauses.resume(session, PauseKind.ROUTE, "drop")
    assert now.destinations(datetime.now(UTC))[0].state == "down"


def test_a_destination_that_came_back_is_up_since_then(of_morning: Morning, now: Present) -> None:
    first = OutboxRow.sop_instance_uid == "1.2.9.1"
    with Session(of_morning.database) as session, session.begin():
        changed = update(OutboxRow).where(first, OutboxRow.destination == "drop")
        session.execute(changed.values(attempts=4, delivered=of_morning.at(30)))
        assert now.destinations(datetime.now(UTC))[2].since == of_morning.at(42)
        session.commit()
    assert now.destinations(datetime.now(UTC))[2].since == of_morning.at(30)


def test_the_numbers_are_of_a_day(of_morning: Morning, now: Present) -> None:
    def numbers(moment: datetime) -> present.Numbers:
        return now.numbers(now.queues(), now.destinations(moment), moment)

    told = numbers(datetime.now(UTC))
    assert (told.jobs, told.done, told.failed, told.unsuitable) == ({"queued": 0, "running": 0, "sending": 1}, 1, 0, 1)
    assert (told.waiting, told.not_stored) == (1, 7)
    later = numbers(of_morning.zero + timedelta(hours=25))
    assert (later.done, later.unsuitable, later.not_stored) == (0, 0, 0)


def test_the_statements_use_the_indexes_that_are_there_for_them(of_morning: Morning, now: Present) -> None:
    if of_morning.database.dialect.name != "sqlite":
        pytest.skip("a table of a few rows is read whole there")
    plans = _plans(of_morning.database, lambda: (now.queues(), now.requests(), now.reception(datetime.now(UTC))))
    for index in ("job_under_way", "job_on_request", "association_open"):
        assert f"INDEX {index} " in plans or f"INDEX {index}\n" in plans
    assert "SCAN job\n" not in plans


def _plans(database: Database, ask: object) -> str:
    """What SQLite says of how it finds the rows of each statement."""
    from sqlalchemy import event

    statements: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(database, "before_cursor_execute", note)
    try:
        assert callable(ask)
        ask()
    finally:
        event.remove(database, "before_cursor_execute", note)
    with database.connect() as connection:
        return "".join(
            f"{row[3]}\n"
            for statement, parameters in statements
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
        )
