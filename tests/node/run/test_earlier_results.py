from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from dicom_sr.versions import Earlier
from node.config import Configuration
from node.database import job_states
from node.database.connection import open_database
from node.database.jobs import Job, JobState
from node.database.migrations import migrate
from node.database.tables import JobRow
from node.run.earlier_results import earlier_results
from node.run.hand_over import encoding
from tests.node.database.withdrawing import DATA, NOON, job, made, sent

A, B, C = job("a"), job("b", predecessor="a"), job("c", predecessor="b")
CONFIGURATION = Configuration.model_validate(
    {
        "destinations": {
            "pacs": {"kind": "folder", "path": "/pacs"},
            "emr": {"kind": "folder", "path": "/emr", "profile": {"kinds": ["report"]}},
        }
    }
)
PACS, EMR = (encoding(CONFIGURATION, CONFIGURATION.destinations[name])[0] for name in ("pacs", "emr"))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(database)
    with Session(database) as session:
        yield session
    database.dispose()


def earlier(session: Session, of: Job) -> dict[str, Earlier]:
    job_states.record(session, of, NOON)
    return earlier_results(session, CONFIGURATION, session.get_one(JobRow, of.id), (PACS, EMR), DATA)


def test_each_profile_is_told_of_what_its_own_destinations_have(session: Session) -> None:
    report, capture, state = made("a", 1), made("a", 2, "secondary_capture"), made("a", 3, "presentation_state")
    sent(session, A, [report, capture, state])
    found = earlier(session, B)
    assert {name: (one.number, one.objects) for name, one in found.items()} == {
        PACS: (1, (report, state)),
        EMR: (1, ()),
    }


def test_a_job_that_sent_nothing_is_no_version(session: Session) -> None:
    job_states.record(session, A, NOON)
    job_states.move(session, A.id, JobState.RUNNING)
    job_states.move(session, A.id, JobState.UNSUITABLE, reason="too few slices")
    assert earlier(session, B) == {}
    assert earlier(session, A) == {}


def test_what_was_withdrawn_is_not_built_on_and_its_number_is_not_given_again(session: Session) -> None:
    sent(session, A, [made("a", 1)])
    sent(session, B, [made("b", 1)])
    row = session.get_one(JobRow, B.id)
    row.withdrawn, row.withdrawn_by, row.withdrawn_why = NOON, "operator", "wrong model"
    session.flush()
    assert {(one.number, one.objects) for one in earlier(session, C).values()} == {(2, ())}


def test_a_job_that_failed_is_passed_over(session: Session) -> None:
    report = made("a", 1)
    sent(session, A, [report])
    job_states.record(session, B, NOON)
    job_states.move(session, B.id, JobState.RUNNING)
    job_states.move(session, B.id, JobState.FAILED, reason="no GPU")
    found = earlier(session, C)[PACS]
    assert (found.number, found.objects) == (1, (report,))
