"""How things stand is told by indexes of the few rows that have not ended."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from node.database import outbox, standing
from node.database.connection import Database
from node.database.jobs import JobState
from node.database.standing import OpenJobs, Waiting
from node.database.tables import InstanceRow, JobRow, SeriesRow
from tests.node.backlog import NOW, add, fill, job_row, plans

BEFORE = NOW - timedelta(hours=1)


def test_open_jobs_are_told_by_pipeline_and_state_with_since_when(database: Database) -> None:
    jobs = [("1", "queued", NOW), ("2", "queued", BEFORE), ("3", "running", NOW), ("4", "done", BEFORE)]
    rows = [job_row(name * 32, state=state, created=BEFORE, updated=since) for name, state, since in jobs]
    add(database, JobRow, [*rows, job_row("5" * 32, pipeline="other", state="sending")])
    with Session(database) as session:
        found = sorted(standing.open_jobs(session), key=lambda one: (one.pipeline, one.state))
    assert found == [
        OpenJobs("other", JobState.SENDING, 1, NOW),
        OpenJobs("trial", JobState.QUEUED, 2, BEFORE),
        OpenJobs("trial", JobState.RUNNING, 1, NOW),
    ]


def test_what_waits_is_as_old_as_the_job_of_its_first_object(database: Database) -> None:
    fill(database, 100, objects=50)
    with Session(database) as session, session.begin():
        session.execute(update(JobRow).where(JobRow.id == f"{0:032x}").values(created=BEFORE))
    with Session(database) as session:
        assert standing.waiting(session, ["pacs", "web"]) == [Waiting("pacs", 100, BEFORE)]


def test_images_given_up_and_the_last_image_are_known(database: Database) -> None:
    with Session(database) as session:
        assert (standing.images_given_up(session), standing.last_image(session)) == (0, None)
    of = {"sop_class_uid": "1.2", "study_instance_uid": "1", "series_instance_uid": "1.1", "transfer_syntax_uid": "1"}
    of_all = {**of, "path": "", "size": 1, "association_id": "a", "received": NOW}
    rows = [{**of_all, "sop_instance_uid": f"1.{n}", "given_up": "too large" if n == 1 else ""} for n in range(3)]
    add(database, InstanceRow, rows)
    times = {"study_instance_uid": "1", "first_received": BEFORE}
    add(database, SeriesRow, [{**times, "series_instance_uid": "1.1", "last_received": NOW}])
    add(database, SeriesRow, [{**times, "series_instance_uid": "1.2", "last_received": BEFORE}])
    with Session(database) as session:
        assert (standing.images_given_up(session), standing.last_image(session)) == (1, NOW)


def test_each_is_found_by_its_index_however_many_rows_there_are(database: Database) -> None:
    fill(database, 20_000, asked=True)
    done = [job_row(f"{n:032x}", state="done") for n in range(10_000, 18_000)]
    add(database, JobRow, done)
    questions: dict[str, Callable[[Session], object]] = {
        "job_under_way": standing.open_jobs,
        # of a destination and a state, which one index has and the other is of
        "outbox_(waiting|by_state).*(destination|=)": lambda session: standing.waiting(session, ["pacs"]),
        "outbox_failing": lambda session: outbox.failing_since(session, NOW),
        "instance_given_up": standing.images_given_up,
        "ix_series_last_received": standing.last_image,
    }
    for index, ask in questions.items():
        with plans(database) as found, Session(database) as session:
            ask(session)
        assert re.search(index, "\n".join(found)), found
