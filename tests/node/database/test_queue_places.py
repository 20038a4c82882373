from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.jobs import JobState
from node.database.queue_places import QueuePlace, queue_places, rough_duration, usual_seconds, worked_seconds
from node.database.tables import EventRow, JobRow
from tests.node.backlog import add, job_row, whole_tables_read

pytestmark = pytest.mark.postgres
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def s(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def queued(number: int, **more: Any) -> dict[str, Any]:
    return job_row(
        f"{number:032x}", **{"state": JobState.QUEUED, "created": s(number), "priority": 100, "reason": "", **more}
    )


def done(database: Database, number: int, pipeline: str, *changes: tuple[str, float]) -> None:
    """A job of the pipeline that was done, and when it became what."""
    job_id = f"{number:032x}"
    add(database, JobRow, [job_row(job_id, state=JobState.DONE, pipeline=pipeline, created=s(-1000 + number))])
    add(database, EventRow, [{"job_id": job_id, "what": what, "detail": "", "at": s(at)} for what, at in changes])


def told(database: Database, workers: int = 1) -> dict[int, QueuePlace]:
    with Session(database) as session:
        return {int(job_id, 16): place for job_id, place in queue_places(session, workers, NOON).items()}


def test_the_urgent_go_first_then_the_oldest_and_those_that_are_held_are_in_nobodys_way(database: Database) -> None:
    rows = [
        queued(1),
        queued(2, priority=5),
        queued(3),
        queued(4, reason="route x is paused by anna"),
        queued(5, created=s(0)),
        queued(6, state=JobState.RUNNING, updated=NOON),
    ]
    add(database, JobRow, rows)
    assert {number: (place.ahead, place.running) for number, place in told(database).items()} == {
        2: (1, 1),
        5: (2, 1),
        1: (3, 1),
        3: (4, 1),
    }


def test_how_long_it_takes_is_told_where_it_is_known_of_all_that_are_before(database: Database) -> None:
    for number, seconds in enumerate((10, 20, 90), start=100):
        done(database, number, "slow", ("queued", 0), ("running", 5), ("sending", 5 + seconds), ("done", 500))
    running = queued(6, state=JobState.RUNNING, pipeline="slow", updated=s(-15))
    add(database, JobRow, [running, queued(1, pipeline="slow"), queued(2, pipeline="new"), queued(3, pipeline="slow")])
    assert {number: place.about_s for number, place in told(database).items()} == {1: 5.0, 2: 25.0, 3: None}
    assert {number: place.about_s for number, place in told(database, workers=2).items()} == {1: 2.5, 2: 12.5, 3: None}


def test_what_a_job_waited_for_a_worker_does_not_count(database: Database) -> None:
    done(database, 1, "slow", ("queued", 0), ("running", 5), ("queued", 8), ("running", 100), ("sending", 104))
    with Session(database) as session:
        assert usual_seconds(session, {"slow", "new"}) == {"slow": 7.0}
    assert worked_seconds([("queued", NOON), ("sending", s(1))]) is None


def test_nobody_waits_in_an_empty_queue(database: Database) -> None:
    add(database, JobRow, [queued(1, state=JobState.RUNNING)])
    assert told(database) == {}


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (QueuePlace(0, 0, 0.0), "next"),
        (QueuePlace(1, 1, None), "1 job before it, 1 running"),
        (QueuePlace(3, 0, 0.2), "3 jobs before it, about 1 s"),
        (QueuePlace(40, 2, 5400.0), "40 jobs before it, 2 running, about 90 min"),
        (QueuePlace(900, 2, 20000.0), "900 jobs before it, 2 running, about 6 h"),
    ],
)
def test_a_place_is_told_in_words(place: QueuePlace, sentence: str) -> None:
    assert place.sentence == sentence
    assert rough_duration(119.4) == "119 s"


def test_places_are_found_by_indices_however_many_jobs_there_are(database: Database) -> None:
    rows: Sequence[dict[str, Any]] = [queued(number) for number in range(1, 101)]
    add(database, JobRow, list(rows))
    ended = [job_row(f"{number:032x}", state=JobState.DONE, created=s(-number)) for number in range(1000, 5000)]
    add(database, JobRow, ended)
    with whole_tables_read(database) as read, Session(database) as session:
        assert len(queue_places(session, 1, NOON)) == 100
    assert not [one for one in read if not one.startswith("sorted")], "what is sorted is the queue, which has no index"
