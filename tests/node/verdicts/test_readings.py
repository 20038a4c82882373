"""Verdicts in the database, and the results they are about in the jobs' folders, become readings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom.sr.coding import Code
from sqlalchemy.orm import Session

from dicom_sr.assessment import Answer, Change
from dicom_sr.codes import score_range
from node.database.job_states import record
from node.database.jobs import Job
from node.run.job_folder import SUMMARY, JobFolder
from node.verdicts.agreement import Value
from node.verdicts.readings import readings
from node.verdicts.storing import store
from node.verdicts.verdict import Verdict, VerdictKind
from tests.node.run.trial import Bench, bench, mr_instances

OBSERVED = datetime(2026, 11, 30, 12, tzinfo=UTC)
SCORE, UNIT = Code("ERO", "99X", "Erosion score"), score_range(5)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as found:
        yield found


def job_with_two_findings(made: Bench) -> Job:
    instances = mr_instances(1)
    made.store(instances)
    job = made.job(instances)
    with Session(made.database) as session, session.begin():
        record(session, job)
    finding = {
        "finding": "99X:JOINT",
        "measurements": {"99X:ERO": {"value": 2.0, "unit": UNIT.value, "interval": None}},
        "evaluations": {"99X:CLASS": "99X:A"},
    }
    names = {"99X:ERO": "Erosion score", "99X:CLASS": "Class"}
    JobFolder(made.data / "jobs" / job.id).write_json(
        SUMMARY, {"findings": {"one": finding, "two": finding}, "names": names}
    )
    return job


def said(job: Job, answer: Answer, about: str = "", *changes: Change, reader: str = "r1", minutes: int = 0) -> Verdict:
    when = OBSERVED + timedelta(minutes=minutes)
    return Verdict(
        VerdictKind.ASSESSMENT,
        f"1.2.{minutes}{len(about)}",
        job.id,
        job.study_instance_uid,
        "1.2.3",
        f"2.25.{len(about)}" if about else "",
        about,
        *(None, None, answer, None, "", changes, reader, "Viewer", "PACS", when, when),
    )


def put(made: Bench, *verdicts: Verdict) -> None:
    with Session(made.database) as session, session.begin():
        store(session, verdicts)


def test_a_reading_has_the_values_of_what_was_accepted_and_of_what_was_changed(made: Bench) -> None:
    job = job_with_two_findings(made)
    changed = Change(SCORE, 2.0, 3.0, UNIT)
    put(made, said(job, Answer.ACCEPT, "one"), said(job, Answer.MODIFY, "three", changed, minutes=1))
    (found,) = readings(made.database, made.configuration)
    assert (found.pipeline, found.answer, found.month, found.study) == (
        *("trial", Answer.MODIFY, "2026-11"),
        job.study_instance_uid,
    )
    assert found.findings == {Answer.ACCEPT: 1, Answer.MODIFY: 1}
    assert set(found.values) == {
        Value("Erosion score", "", 2.0, 2.0, points=True, grade=True),
        Value("Class", "", "99X:A", "99X:A"),
        Value("Erosion score", "", 2.0, 3.0, points=True, grade=True),
    }


def test_a_result_that_was_accepted_as_a_whole_has_all_its_values_and_one_rejected_none(made: Bench) -> None:
    accepted, rejected = job_with_two_findings(made), job_with_two_findings(made)
    put(made, said(accepted, Answer.ACCEPT), said(rejected, Answer.REJECT))
    by_job = {one.job: one for one in readings(made.database, made.configuration)}
    assert len(by_job[accepted.id].values) == 4
    assert by_job[rejected.id].values == ()


def test_the_device_is_that_of_the_images_and_two_readers_make_two_readings(made: Bench) -> None:
    job = job_with_two_findings(made)
    put(made, said(job, Answer.ACCEPT), said(job, Answer.REJECT, reader="r2", minutes=1))
    found = readings(made.database, made.configuration)
    assert [(one.reader, one.device) for one in found] == [("r1", "ACME"), ("r2", "ACME")]


def test_only_what_is_asked_for_and_what_still_stands_counts(made: Bench) -> None:
    job = job_with_two_findings(made)
    put(made, said(job, Answer.REJECT, "one"), said(job, Answer.ACCEPT, "one", minutes=5))
    (found,) = readings(made.database, made.configuration, "trial", OBSERVED)
    assert found.answer == Answer.ACCEPT
    assert readings(made.database, made.configuration, "another") == []
    assert readings(made.database, made.configuration, since=OBSERVED + timedelta(hours=1)) == []


def test_a_result_that_is_kept_no_longer_still_has_its_answer(made: Bench) -> None:
    job = job_with_two_findings(made)
    (made.data / "jobs" / job.id / SUMMARY).unlink()
    put(made, said(job, Answer.ACCEPT))
    (found,) = readings(made.database, made.configuration)
    assert (found.answer, found.values) == (Answer.ACCEPT, ())


def test_what_is_said_of_a_value_and_of_the_outline_of_a_finding_counts_together(made: Bench) -> None:
    job = job_with_two_findings(made)
    volume = Change(Code("118565006", "SCT", "Volume"), 144.0, 72.0, Code("mm3", "UCUM", "cubic millimeter"))
    outline = replace(said(job, Answer.MODIFY, "one", volume, minutes=1), kind=VerdictKind.EDITED_SEGMENTATION)
    put(made, outline, said(job, Answer.MODIFY, "one", Change(SCORE, 2.0, 3.0, UNIT), minutes=2))
    (found,) = readings(made.database, made.configuration)
    assert found.findings == {Answer.MODIFY: 1}
    assert {(value.name, value.ours, value.readers) for value in found.values if value.ours != value.readers} == {
        ("Erosion score", 2.0, 3.0),
        ("Volume", 144.0, 72.0),
    }
