"""What the node does again and again costs as much as there is to do, not as much as has piled up.

Asked of the databases themselves, which say how they find what they are asked for; no clock is looked at.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database import commitments, job_states, outbox
from node.database.connection import Database
from node.database.jobs import JobState
from node.database.states import CommitmentDirection
from node.database.tables import CommitmentRow, JobRow, OutboxRow
from node.send.commitment_requests import AT_ONCE, CommitmentRequests
from node.send.lane import Lane
from tests.node.backlog import LATER, NOW, OBJECTS, fill, whole_tables_read

pytestmark = pytest.mark.postgres
LINES = 10_000


def lane(database: Database) -> Lane:
    dead = {"kind": "dimse", "ae_title": "PACS", "host": "127.0.0.1", "port": 1, "commitment": True}
    of = Configuration.model_validate({"destinations": {"pacs": dead}}).destinations["pacs"]
    return Lane("pacs", of, "CONDYLE", database, lambda: NOW, data=Path())


def test_a_weekend_of_objects_for_a_pacs_that_is_down_is_not_read_to_find_what_is_due(database: Database) -> None:
    fill(database, LINES)
    sending = lane(database)
    with whole_tables_read(database) as read, Session(database) as session, session.begin():
        assert not sending.is_due(session, confirmations=True)
        job_id = f"{7:032x}"
        first = session.scalars(select(OutboxRow.id).where(OutboxRow.job_id == job_id)).first()
        session.execute(update(OutboxRow).where(OutboxRow.id == first).values(not_before=NOW))
        assert outbox.next_job(session, "pacs", NOW) == job_id
        outbox.hold_back(session, "pacs", job_id)
        place = job_states.settle_left_over(session)
        assert place is None  # fewer jobs than a page
    assert read == set()


def test_a_job_whose_first_object_has_to_wait_waits_as_a_whole_and_goes_behind_the_others(database: Database) -> None:
    fill(database, 100)
    jobs = [f"{number:032x}" for number in range(2)]
    with Session(database) as session, session.begin():
        session.execute(update(OutboxRow).values(not_before=NOW))
        assert outbox.next_job(session, "pacs", NOW) == jobs[0]
        first = session.scalar(select(func.min(OutboxRow.id)).where(OutboxRow.job_id == jobs[0]))
        assert first is not None
        outbox.put_off(session, first, "0xA700", LATER, now=NOW)
        outbox.hold_back(session, "pacs", jobs[0])
        assert outbox.next_job(session, "pacs", NOW) == jobs[1]
        waits = session.scalars(select(OutboxRow.not_before).where(OutboxRow.job_id == jobs[0])).all()
        assert set(waits) == {LATER}


def test_what_a_pacs_has_not_confirmed_yet_is_not_read_to_find_what_to_ask(database: Database) -> None:
    fill(database, LINES, asked=True)
    requests = CommitmentRequests("pacs", database, lambda: NOW, Path())
    with whole_tables_read(database) as read, Session(database) as session:
        assert not requests.are_due(session)
        assert not requests.take_reports()
        assert not requests.pursue(None)  # type: ignore[arg-type]  # asks nobody
        assert len(outbox.unconfirmed(session, "2.25.9.3")) == OBJECTS
        assert session.scalars(commitments.due(CommitmentDirection.IN, NOW).limit(100)).all() == []
    assert read == set()


def test_transactions_are_begun_for_what_is_in_none_and_each_object_is_in_one(database: Database) -> None:
    fill(database, 200, asked=True)
    with Session(database) as session, session.begin():
        outbox.leave_transaction(session, "2.25.9.1")
    requests = CommitmentRequests("pacs", database, lambda: NOW, Path())
    with Session(database) as session:
        assert requests.are_due(session)
    requests.begin_transactions()
    requests.begin_transactions()
    with Session(database) as session:
        transactions = session.scalars(select(CommitmentRow.transaction_uid)).all()
        assert len(transactions) == 5
        counts = session.execute(select(OutboxRow.transaction_uid, func.count()).group_by(OutboxRow.transaction_uid))
        assert sorted(count for _, count in counts) == [OBJECTS] * 4


def test_reports_that_came_together_are_taken_a_few_at_a_time(database: Database) -> None:
    fill(database, 2 * AT_ONCE + 2, objects=1, asked=True)
    with Session(database) as session, session.begin():
        for uid in session.scalars(select(CommitmentRow.transaction_uid)).all():
            commitments.note_report(session, uid, commitments.Report(1, {}))
    requests = CommitmentRequests("pacs", database, lambda: NOW, Path())
    rounds = 0
    while requests.take_reports():
        rounds += 1
    assert rounds == 3
    with Session(database) as session:
        assert set(session.scalars(select(OutboxRow.state))) == {"confirmed"}
        assert set(session.scalars(select(OutboxRow.transaction_uid))) == {None}
        assert set(session.scalars(select(JobRow.state))) == {"done"}


def test_jobs_that_are_being_sent_are_looked_at_a_page_at_a_time_and_all_of_them_in_turn(database: Database) -> None:
    jobs = 2 * job_states.PAGE + 1
    fill(database, jobs, objects=1)
    last = f"{jobs - 1:032x}"
    with Session(database) as session, session.begin():  # the node died before it closed this one
        session.execute(update(OutboxRow).where(OutboxRow.job_id == last).values(state="delivered"))
    place: job_states.Place | None = None
    for _ in range(3):
        with whole_tables_read(database) as read, Session(database) as session, session.begin():
            place = job_states.settle_left_over(session, place)
        assert read == set()
    assert place is None
    with Session(database) as session:
        assert session.scalars(select(JobRow.id).where(JobRow.state == JobState.DONE)).all() == [last]
