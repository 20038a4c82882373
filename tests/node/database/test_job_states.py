from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.database import job_states
from node.database.connection import Database, open_database
from node.database.jobs import NEXT, Job, JobState
from node.database.migrations import migrate
from node.database.states import ForbiddenTransition
from node.database.tables import EventRow, JobRow, ObjectRow, OutboxRow, SeriesRow
from node.errors import JobNotFound
from tests.counting import counting

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
JOB = Job("a" * 32, "knee", "trial", "1.2.3", ("1.2.3.4",), ("1.2.3.4.5",), {"x": 1}, ("pacs",), NOON, priority=7)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(database)
    yield database
    database.dispose()


def brought_to(database: Database, state: JobState) -> None:
    """The job, new and by a lawful way in `state`."""
    ways = {
        JobState.QUEUED: [],
        JobState.RUNNING: [JobState.RUNNING],
        JobState.SENDING: [JobState.RUNNING, JobState.SENDING],
        JobState.DONE: [JobState.RUNNING, JobState.SENDING, JobState.DONE],
        JobState.UNSUITABLE: [JobState.RUNNING, JobState.UNSUITABLE],
        JobState.FAILED: [JobState.FAILED],
    }
    with Session(database) as session, session.begin():
        job_states.record(session, JOB, NOON)
        for step in ways[state]:
            job_states.move(session, JOB.id, step, now=NOON)


@pytest.mark.parametrize("before", list(JobState))
@pytest.mark.parametrize("after", list(JobState))
def test_a_job_changes_its_state_as_the_table_says(database: Database, before: JobState, after: JobState) -> None:
    brought_to(database, before)
    with Session(database) as session, session.begin():
        if after in NEXT[before] or after == before:
            assert job_states.move(session, JOB.id, after).state == after
        else:
            with pytest.raises(ForbiddenTransition, match=f"is {before} and cannot become {after}"):
                job_states.move(session, JOB.id, after)


def test_a_job_revises_its_predecessor_and_all_before_it(database: Database) -> None:
    first, second, third = (letter * 32 for letter in "abc")
    with Session(database) as session, session.begin():
        for job_id, predecessor in ((first, None), (second, first), (third, second)):
            job_states.record(session, replace(JOB, id=job_id, predecessor=predecessor), NOON)
    with Session(database) as session:
        found = {job_id: job_states.revised(session, session.get_one(JobRow, job_id)) for job_id in (first, third)}
    assert found == {first: (), third: (second, first)}


def test_a_change_of_state_leaves_an_event_and_no_change_leaves_none(database: Database) -> None:
    brought_to(database, JobState.RUNNING)
    later = NOON + timedelta(seconds=5)
    with Session(database) as session, session.begin():
        job_states.move(session, JOB.id, JobState.FAILED, reason="a bug", now=later)
        job_states.move(session, JOB.id, JobState.FAILED, reason="again", now=later)
    with Session(database) as session:
        rows = session.execute(select(EventRow.what, EventRow.detail, EventRow.at).order_by(EventRow.id))
        assert [tuple(row) for row in rows] == [
            ("queued", "", NOON),
            ("running", "", NOON),
            ("failed", "a bug", later),
        ]
        assert session.get_one(JobRow, JOB.id).reason == "a bug"


def test_a_job_is_written_down_once(database: Database) -> None:
    with Session(database) as session, session.begin():
        assert job_states.record(session, JOB, NOON)
    with Session(database) as session, session.begin():
        assert not job_states.record(session, JOB, NOON)
        assert session.scalar(select(func.count()).select_from(EventRow)) == 1
    with Session(database) as session:
        record = session.get_one(JobRow, JOB.id)
        assert (record.settings, record.destinations, record.priority, record.created) == ({"x": 1}, ["pacs"], 7, NOON)


def test_a_job_that_nobody_knows_is_said_to_be_unknown(database: Database) -> None:
    with Session(database) as session, pytest.raises(JobNotFound, match="no job has the id"):
        job_states.move(session, "b" * 32, JobState.RUNNING)


@pytest.mark.parametrize(
    ("lines", "state", "told"),
    [
        ([("delivered", False), ("delivered", False)], "done", "2 delivered"),
        ([("delivered", False), ("skipped", False)], "done", "1 delivered, 1 skipped"),
        ([("confirmed", True), ("delivered", True)], "sending", ""),
        ([("confirmed", True), ("confirmed", True)], "done", "2 confirmed"),
        ([("delivered", False), ("waiting", False)], "sending", ""),
        ([("refused", False), ("waiting", False)], "sending", ""),
        ([("refused", False), ("delivered", False)], "failed", "pacs: no (1 delivered, 1 refused)"),
        ([], "done", ""),
    ],
)
def test_a_job_is_closed_when_its_last_line_is(
    database: Database, lines: list[tuple[str, bool]], state: str, told: str
) -> None:
    brought_to(database, JobState.SENDING)
    with Session(database) as session, session.begin():
        for index, (line, confirm) in enumerate(lines):
            uid = f"1.2.{index}"
            fields = {"sop_class_uid": "1", "series_instance_uid": "1", "study_instance_uid": "1", "kind": "report"}
            session.add(ObjectRow(sop_instance_uid=uid, job_id=JOB.id, path="", sha256="", size=0, **fields))
            session.flush()
            answer = "no" if line == "refused" else ""
            session.add(
                OutboxRow(
                    sop_instance_uid=uid,
                    job_id=JOB.id,
                    destination="pacs",
                    state=line,
                    confirm=confirm,
                    answer=answer,
                    not_before=NOON,
                )
            )
        session.flush()
        job_states.settle(session, JOB.id, NOON)
    with Session(database) as session:
        assert session.get_one(JobRow, JOB.id).state == state
        last = session.scalars(select(EventRow).order_by(EventRow.id.desc())).first()
        assert last is not None
        assert state == "sending" or last.detail == told


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.UNSUITABLE])
def test_a_late_answer_does_not_reopen_a_job(database: Database, state: JobState) -> None:
    brought_to(database, state)
    with Session(database) as session, session.begin():
        job_states.settle(session, JOB.id)
        assert session.get_one(JobRow, JOB.id).state == state


def test_a_step_is_begun_only_so_often_until_the_job_is_queued_again(database: Database) -> None:
    brought_to(database, JobState.RUNNING)
    with Session(database) as session, session.begin():
        assert [job_states.count_start(session, JOB.id, "infer", 2) for _ in range(3)] == [1, 2, None]
        assert job_states.count_start(session, JOB.id, "encode", 2) == 1, "another step counts for itself"
        job_states.move(session, JOB.id, JobState.QUEUED)
        assert job_states.count_start(session, JOB.id, "encode", 2) == 1


def test_a_start_that_the_node_broke_off_itself_does_not_count(database: Database) -> None:
    brought_to(database, JobState.RUNNING)
    with Session(database) as session, session.begin():
        job_states.count_start(session, JOB.id, "infer", 2)
        job_states.take_back_start(session, JOB.id)
        assert job_states.count_start(session, JOB.id, "infer", 2) == 1


NAME = ("trial", "knee")
ENDED, LATENCY, WAIT = "condyle_jobs_ended_total", "condyle_result_latency_seconds", "condyle_queue_wait_seconds"


def received(database: Database, last: datetime, decided: datetime | None) -> None:
    """The job's series, whose last image came at `last`."""
    made = SeriesRow(
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        instances=1,
        first_received=last,
        last_received=last,
        completed=decided,
    )
    with Session(database) as session, session.begin():
        session.merge(made)


def moved(database: Database, *steps: tuple[JobState, int]) -> None:
    """Bring the job through these states, so many seconds after noon."""
    for state, seconds in steps:
        with Session(database) as session, session.begin():
            job_states.record(session, JOB, NOON)
            job_states.move(session, JOB.id, state, now=NOON + timedelta(seconds=seconds))


def test_a_job_that_was_done_counts_with_how_long_it_took_from_its_last_image(database: Database) -> None:
    received(database, NOON - timedelta(seconds=30), NOON + timedelta(seconds=0.1))
    with counting() as added:
        moved(database, (JobState.RUNNING, 4), (JobState.SENDING, 9), (JobState.DONE, 20))
    assert added == {
        (ENDED, *NAME, "done"): 1,
        (f"{LATENCY}_count", *NAME): 1,
        (f"{LATENCY}_sum", *NAME): 50,
        (f"{WAIT}_count", *NAME): 1,
        (f"{WAIT}_sum", *NAME): 4,
    }


def test_an_image_that_came_after_the_decision_is_not_the_last_of_the_job(database: Database) -> None:
    received(database, NOON + timedelta(seconds=15), NOON + timedelta(seconds=0.1))
    with counting() as added:
        moved(database, (JobState.RUNNING, 4), (JobState.SENDING, 9), (JobState.DONE, 20))
    assert added[f"{LATENCY}_sum", *NAME] == 20


def test_what_was_decided_about_once_more_or_is_sent_again_has_kept_nobody_waiting(database: Database) -> None:
    received(database, NOON - timedelta(days=9), NOON - timedelta(days=9))
    with counting() as added:
        moved(database, (JobState.RUNNING, 4), (JobState.SENDING, 9), (JobState.DONE, 20))
    assert (f"{LATENCY}_count", *NAME) not in added
    received(database, NOON, NOON)
    with counting() as added:
        moved(database, (JobState.SENDING, 99), (JobState.DONE, 100))
    assert added == {(ENDED, *NAME, "done"): 1}


def test_a_change_that_is_rolled_back_is_not_counted(database: Database) -> None:
    brought_to(database, JobState.RUNNING)
    with counting() as added, Session(database) as session:
        job_states.move(session, JOB.id, JobState.FAILED, reason="a bug")
        session.rollback()
    assert added == {}
    with counting() as added, Session(database) as session, session.begin():
        job_states.move(session, JOB.id, JobState.FAILED, reason="a bug")
    assert added == {(ENDED, *NAME, "failed"): 1}


def test_a_running_job_that_has_to_wait_is_queued_again_and_keeps_what_was_counted(database: Database) -> None:
    brought_to(database, JobState.RUNNING)
    with Session(database) as session, session.begin():
        job_states.count_start(session, JOB.id, "infer", 3)
        job_states.wait_again(session, JOB.id)
        job_states.wait_again(session, JOB.id)
    with Session(database) as session:
        job = session.get_one(JobRow, JOB.id)
        assert (job.state, job.step, job.attempt) == ("queued", "infer", 1)
        assert session.scalar(select(func.count()).where(EventRow.what == "queued")) == 2


def test_a_job_is_held_while_it_is_queued_and_not_begun(database: Database) -> None:
    brought_to(database, JobState.QUEUED)
    with Session(database) as session, session.begin():
        assert job_states.hold(session, JOB.id, "paused by anna")
        assert job_states.hold_route(session, JOB.route, "paused by anna") == [JOB.id]
        assert job_states.hold_route(session, "another", "paused by anna") == []
        assert (job_states.held_routes(session), job_states.held_jobs(session, JOB.route)) == ([JOB.route], [JOB.id])
        job_states.release(session, JOB.id)
        assert job_states.held_routes(session) == []
    with Session(database) as session, session.begin():
        assert session.get_one(JobRow, JOB.id).reason == ""
        events = session.scalars(select(EventRow.what).order_by(EventRow.id)).all()
        assert events == ["queued", "held", "goes on"], "it says so once"
        job_states.count_start(session, JOB.id, "infer", 3)
        assert not job_states.hold(session, JOB.id, "paused by anna"), "what has begun goes on"
    with Session(database) as session, session.begin():
        job_states.move(session, JOB.id, JobState.RUNNING)
        assert not job_states.hold(session, JOB.id, "paused by anna")
