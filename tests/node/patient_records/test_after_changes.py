"""A merge or a correction is told on the timelines of the jobs that it concerns: once each, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.current_patient import CurrentPatient
from node.database import job_patients, job_states
from node.database.connection import Database, open_database
from node.database.jobs import Job, JobState
from node.database.migrations import migrate
from node.database.states import OutboxState
from node.database.tables import PATIENT_CHANGED, AuditRow, EventRow, JobRow, ObjectRow, OutboxRow
from node.errors import NodeError
from node.patient_records.after_changes import EVENT, RESTART, AfterChanges
from node.patient_records.patient_changes import Changed
from node.study.patients import Person, marking_key
from tests.postgres import Postgres

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ERIKA = CurrentPatient("B", "", "Muster^Erika", "19600229", "F")
MERGED = Changed(ERIKA, (("B", ""), ("A", "")), corrected=True)


class Jobs:
    """Jobs about images of patients, as a node leaves them."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.database, self.key = database, marking_key(folder)
        self.after = AfterChanges(database, folder, "", lambda: NOW)

    def add(self, job_id: str, *images: Person, state: JobState = JobState.DONE, written: Person | None = None) -> None:
        """One that has ended; what it made of images went out."""
        with Session(self.database) as session, session.begin():
            job_states.record(session, Job(job_id, "r", "p", job_id, (), (), {}, (), NOW))
            session.get_one(JobRow, job_id).state = state
            job_patients.note_images(session, job_id, [image.marked(self.key) for image in images])
            job_patients.note_written(session, job_id, written.marked(self.key) if written else None)
            if state == JobState.DONE:
                uid = f"{job_id}.1"
                made = {
                    "sop_class_uid": "1",
                    "series_instance_uid": "1",
                    "study_instance_uid": job_id,
                    "kind": "report",
                }
                session.add(ObjectRow(sop_instance_uid=uid, job_id=job_id, path="", sha256="", size=1, **made))
                session.flush()
                line = {"destination": "pacs", "state": OutboxState.DELIVERED, "not_before": NOW}
                session.add(OutboxRow(sop_instance_uid=uid, job_id=job_id, **line))

    def told(self) -> dict[str, list[str]]:
        """What the timelines say of changes, by job."""
        with Session(self.database) as session:
            found: dict[str, list[str]] = {}
            for row in session.scalars(select(EventRow).where(EventRow.what == EVENT).order_by(EventRow.id)):
                found.setdefault(row.job_id, []).append(row.detail)
            return found


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Jobs]:
    server: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    opened = open_database(server.database() if server else f"sqlite:///{tmp_path / 'node.db'}")
    migrate(opened)
    yield Jobs(tmp_path, opened)
    opened.dispose()


def person(patient_id: str, name: str = "muster^erika", birth_date: str = "1960-02-29", issuer: str = "") -> Person:
    return Person(patient_id, issuer, birth_date, "F", name)


def test_what_a_merge_or_a_correction_means_for_jobs_is_told_once(jobs: Jobs) -> None:
    jobs.add("1", person("A"))  # sent under the prior patient ID
    jobs.add("2", person("B"))  # as it is now
    jobs.add("3", person("B", "beispiel^erika"))  # sent under another name
    jobs.add("4", person("A"), written=person("B"))  # encoded after the merge
    jobs.add("5", person("A"), person("B"), state=JobState.UNSUITABLE)
    jobs.add("6", person("A"), person("C"), state=JobState.UNSUITABLE)  # C is still somebody else
    jobs.add("7", person("A", issuer="CLINIC"))  # the same number of another hospital
    jobs.add("8", person("A"), state=JobState.QUEUED)  # will name whom the patient is now
    jobs.add("9", person("A"), state=JobState.UNSUITABLE)  # for another reason
    for _ in range(2):
        jobs.after.tell([MERGED], "ADT^A40", "10.0.0.1")
    told = jobs.told()
    assert {job: len(lines) for job, lines in told.items()} == {"1": 1, "3": 1, "5": 1}
    assert told["1"][0].startswith("the patient was merged into another patient ID since: this was sent under the ")
    assert told["3"][0].startswith("the description of the patient was corrected since: ")
    assert told["5"] == [RESTART]
    with Session(jobs.database) as session:
        audited = session.scalars(select(AuditRow).where(AuditRow.what == PATIENT_CHANGED)).all()
        assert [(row.who, row.detail) for row in audited] == [("10.0.0.1", {"event": "ADT^A40", "jobs": 3})]


def test_a_name_that_a_device_spells_otherwise_is_no_correction(jobs: Jobs) -> None:
    jobs.add("1", person("B", "mueller^erika"))
    jobs.after.tell([Changed(ERIKA, (("B", ""),))], "ADT^A08", "10.0.0.1")
    assert jobs.told() == {}


def test_a_database_without_its_tables_is_a_reason_to_send_the_message_again(tmp_path: Path) -> None:
    empty = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(NodeError, match="jobs could not be told that a patient has changed"):
        AfterChanges(empty, tmp_path, "").tell([MERGED], "ADT^A40", "")
    empty.dispose()
