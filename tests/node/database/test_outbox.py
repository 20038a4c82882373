from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_sr.profile import EncodedObject
from node.database import job_states, outbox
from node.database.connection import Database, open_database
from node.database.jobs import Job
from node.database.migrations import migrate
from node.database.states import OUTBOX, ForbiddenTransition, OutboxState
from node.database.tables import ObjectRow, OutboxRow
from node.errors import JobFailed

DATA = Path("/data")
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
JOB = Job("a" * 32, "knee", "trial", "1.2.3", ("1.2.3.4",), ("1.2.3.4.5",), {}, ("pacs",), NOON)
PICTURE = EncodedObject("1.2.840.1", "1.1", "1.2", "1.2.3", Path("/data/1.dcm"), "secondary_capture", 1, "aa", 10)
REPORT = EncodedObject("1.2.840.2", "1.4", "1.5", "1.2.3", Path("/data/2.dcm"), "report", 4, "bb", 20)
TWIN = EncodedObject("1.2.840.3", "1.6", "1.7", "1.2.3", Path("/data/3.dcm"), "report", 4, "cc", 30, "1.4")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    database: Database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(database)
    with Session(database) as session:
        job_states.record(session, JOB, NOON)
        yield session
    database.dispose()


def queued(session: Session, *objects: EncodedObject) -> list[int]:
    """The ids of the lines that have the objects wait for ``pacs``."""
    outbox.keep_objects(session, JOB.id, objects, DATA)
    outbox.queue(session, JOB.id, "pacs", objects, confirm=True, now=NOON)
    return [line.line for line in outbox.waiting_lines(session, "pacs", JOB.id, DATA)]


def test_an_object_comes_out_of_the_database_as_it_went_in(session: Session) -> None:
    outbox.keep_objects(session, JOB.id, [PICTURE, TWIN], DATA)
    rows = session.scalars(select(ObjectRow).order_by(ObjectRow.sop_instance_uid))
    assert [outbox.encoded_object(row, DATA) for row in rows] == [PICTURE, TWIN]


def test_lines_come_with_their_objects_images_first(session: Session) -> None:
    queued(session, REPORT, PICTURE)
    lines = outbox.waiting_lines(session, "pacs", JOB.id, DATA)
    assert [(line.sop_instance_uid, line.sha256, line.path) for line in lines] == [
        ("1.1", "aa", Path("/data/1.dcm")),
        ("1.4", "bb", Path("/data/2.dcm")),
    ]


def test_other_bytes_under_a_uid_are_refused_once_it_was_sent_and_taken_before(session: Session) -> None:
    queued(session, PICTURE)
    changed = EncodedObject(**{**PICTURE.__dict__, "sha256": "dd"})
    outbox.keep_objects(session, JOB.id, [changed], DATA)
    (line,) = outbox.waiting_lines(session, "pacs", JOB.id, DATA)
    assert line.sha256 == "dd"
    outbox.begin_attempt(session, line)
    with pytest.raises(JobFailed, match=r"secondary_capture 1\.1 was sent before with other bytes"):
        outbox.keep_objects(session, JOB.id, [PICTURE], DATA)


def test_what_was_refused_waits_again_after_a_restart_and_what_was_delivered_does_not(session: Session) -> None:
    first, second = queued(session, PICTURE, REPORT)
    outbox.move(session, first, OutboxState.DELIVERED, "0x0000", delivered=NOON)
    outbox.move(session, second, OutboxState.REFUSED, "0xA900")
    assert outbox.queue(session, JOB.id, "pacs", [PICTURE, REPORT], confirm=True, now=NOON) == 1
    assert [line.sop_instance_uid for line in outbox.waiting_lines(session, "pacs", JOB.id, DATA)] == ["1.4"]


@pytest.mark.parametrize("now", list(OutboxState))
@pytest.mark.parametrize("then", list(OutboxState))
def test_a_line_changes_its_state_as_the_table_says(session: Session, now: OutboxState, then: OutboxState) -> None:
    (line,) = queued(session, PICTURE)
    session.execute(update(OutboxRow).values(state=now))
    if then in OUTBOX[now]:
        outbox.move(session, line, then, "answer")
        assert session.scalar(select(OutboxRow.state)) == then
    else:
        with pytest.raises(ForbiddenTransition, match=f"is {now} and cannot become {then}"):
            outbox.move(session, line, then, "answer")


def test_a_twin_takes_the_place_of_its_object_once(session: Session) -> None:
    (line,) = queued(session, REPORT)
    outbox.keep_objects(session, JOB.id, [TWIN], DATA)
    assert outbox.find_twin(session, line) == TWIN.sop_instance_uid
    for _ in range(2):
        outbox.queue_twin(session, line, NOON)
    lines = outbox.waiting_lines(session, "pacs", JOB.id, DATA)
    assert [item.sop_instance_uid for item in lines] == ["1.4", "1.6"]


def test_a_cancelled_line_can_still_turn_out_to_be_delivered_but_not_put_off(session: Session) -> None:
    (line,) = queued(session, PICTURE)
    outbox.cancel(session, JOB.id, "cancelled by an operator")
    outbox.put_off(session, line, "busy", NOON + timedelta(hours=1), now=NOON)
    assert session.scalar(select(OutboxRow.answer)) == "cancelled by an operator"
    outbox.move(session, line, OutboxState.DELIVERED, "0x0000", delivered=NOON)
    assert outbox.count_states(session, [line]) == {OutboxState.DELIVERED: 1}


def test_only_what_was_delivered_is_confirmed(session: Session) -> None:
    first, second = queued(session, PICTURE, REPORT)
    outbox.move(session, first, OutboxState.DELIVERED, "0x0000", delivered=NOON)
    outbox.confirm(session, "pacs", {"1.1", "1.4"}, "storage commitment")
    assert outbox.count_states(session, [first]) == {OutboxState.CONFIRMED: 1}
    assert outbox.count_states(session, [second]) == {OutboxState.WAITING: 1}
    assert outbox.jobs_of(session, "pacs", {"1.1"}) == [JOB.id]


def test_sent_is_what_was_taken_and_a_series_that_is_on_its_way(session: Session) -> None:
    derived = EncodedObject(**{**PICTURE.__dict__, "sop_instance_uid": "1.8", "kind": "derived_series", "order": 0})
    series, picture, _ = queued(session, derived, PICTURE, REPORT)
    assert outbox.count_sent(session, JOB.id) == 1
    outbox.move(session, picture, OutboxState.DELIVERED, "0x0000", delivered=NOON)
    assert outbox.count_sent(session, JOB.id) == 2
    outbox.cancel(session, JOB.id, "cancelled by an operator")
    assert outbox.count_sent(session, JOB.id) == 1
    outbox.move(session, series, OutboxState.DELIVERED, "0x0000", delivered=NOON)
    assert outbox.count_sent(session, JOB.id) == 2
