"""Jobs are found by whom their images or their objects name, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from node.database import job_patients, job_states
from node.database.connection import Database, open_database
from node.database.jobs import Job, JobState
from node.database.migrations import migrate
from node.study.patients import Person
from tests.postgres import Postgres

KEY = b"k" * 32
OLD, NEW = Person("OLD", "", "19600229", "F", "m").marked(KEY), Person("NEW", "", "19600229", "F", "m").marked(KEY)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    server: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    url = server.database() if server else f"sqlite:///{tmp_path / 'node.db'}"
    opened = open_database(url)
    migrate(opened)
    yield opened
    opened.dispose()


def test_a_job_is_found_by_whom_its_images_or_its_objects_name(database: Database) -> None:
    with Session(database) as session, session.begin():
        for job_id in ("a", "b"):
            job_states.record(session, Job(job_id, "r", "p", "1.2", (), (), {}, (), datetime.now(UTC)))
        job_patients.note_images(session, "a", [OLD, OLD])
        job_patients.note_images(session, "a", [OLD])
        job_patients.note_images(session, "b", [Person("").marked(KEY)])  # names nobody
        job_patients.note_written(session, "a", OLD)
        job_patients.note_written(session, "a", NEW)
    with Session(database) as session:
        for mark in (OLD, NEW):
            found = job_patients.jobs_of(session, [Person.of_mark(mark).mark])
            assert found == [job_patients.PatientsJob("a", JobState.QUEUED, (OLD,), NEW, went_out=False)]
        assert job_patients.jobs_of(session, [Person("").marked(KEY), Person("OTHER").marked(KEY)]) == []
    with Session(database) as session, session.begin():
        job_patients.note_written(session, "a", None)
        assert job_patients.jobs_of(session, [NEW]) == []
