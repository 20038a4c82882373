"""Risks that a route asked for go back to the FHIR server: once, until it takes them, and what it refuses is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from dicom_sr.findings import Finding, Measurement, Model, Result
from node.config import Configuration
from node.config.checks import listening_socket
from node.database import job_states
from node.database.connection import open_database
from node.database.jobs import Job, JobState
from node.database.migrations import migrate
from node.database.tables import EventRow
from node.errors import PeerUnavailable
from node.patient_records.post_back import GIVEN, PostBack
from node.run.job_folder import JobFolder
from pipelines.context import ClinicalContext
from pipelines.knee_oa_risk import codes
from tests.fhir_peer import FhirPeer, serving

DAY = date(2026, 1, 5)
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
PATIENT = {"entry": [{"resource": {"resourceType": "Patient", "id": "patient"}}]}
RISKS = {1: 2.5, 3: 8.0, 5: 14.0}  # per cent


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(engine)
    yield engine
    engine.dispose()


def image(folder: Path) -> Path:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, "2.25.3"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "2.25.1", "2.25.2", "MR"
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.StudyDate = "P-1", "DOE^JANE", "19600101", "20260105"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(folder / "image.dcm", enforce_file_format=True)
    return folder / "image.dcm"


def done(folder: Path, database: Engine, number: int = 1, pipeline: str = "knee_oa_risk", shadow: bool = False) -> Job:
    """A job that has found a risk, with its folder."""
    job = Job(f"{number:032d}", "risk", pipeline, "2.25.1", ("2.25.2",), ("2.25.3",), {}, ("out",), NOON, shadow=shadow)
    with Session(database) as session, session.begin():
        job_states.record(session, job, NOON)
        for state in (JobState.RUNNING, JobState.SENDING):
            job_states.move(session, job.id, state, now=NOON)
    measurements = tuple(
        Measurement(codes.RISK_WITHIN[years], risk, codes.PERCENT, interval=(risk / 2, risk * 2))
        for years, risk in RISKS.items()
    )
    kept = JobFolder(folder / "data" / "jobs" / job.id)
    kept.write_study("2.25.1", [image(folder)], {})
    kept.write_context(ClinicalContext(DAY, date(1960, 1, 1), "F"))
    study = kept.read_study()
    kept.write_result(
        Result(
            model=Model("knee_oa_risk", "1.0", "ab" * 32, "trained on simulated patient records"),
            title="Risk",
            evidence=study.series,
            conclusion=("Simulated.",),
            findings=(Finding("Knee OA risk", codes.OA_RISK, measurements=measurements),),
        ),
        {},
    )
    return job


def post_back(folder: Path, database: Engine, url: str) -> PostBack:
    records = {"fhir": {"url": f"{url}/r4", "identifier_system": "urn:h", "post_back": True}}
    return PostBack(
        Configuration.model_validate({"node": {"data": str(folder / "data")}, "records": records}), database
    )


def told(database: Engine, job: Job) -> list[str]:
    with Session(database) as session:
        return list(session.scalars(select(EventRow.detail).where(EventRow.job_id == job.id, EventRow.what == GIVEN)))


def test_a_jobs_risk_is_given_once_and_says_which_job_and_which_study_it_is_of(tmp_path, database):
    job = done(tmp_path, database)
    peer = FhirPeer(PATIENT)
    with serving(peer.app) as url:
        back = post_back(tmp_path, database, url)
        assert (back.once(), back.once()) == (1, 0)
    (given,) = peer.given
    answer = RiskAssessment.model_validate(given)
    assert (answer.identifier[0].system, answer.identifier[0].value) == ("urn:condyle:job", job.id)
    assert answer.basis[0].identifier.value == "urn:oid:2.25.1"
    assert given["subject"]["identifier"] == {"value": "P-1", "system": "urn:h"}
    assert given["occurrenceDateTime"] == "2026-01-05"
    assert [float(p.probabilityDecimal) for p in answer.prediction] == [0.025, 0.08, 0.14]
    assert told(database, job) == ["given to the FHIR server"]


def test_after_a_crash_between_giving_and_noting_it_the_server_still_has_it_once(tmp_path, database):
    job = done(tmp_path, database)
    peer = FhirPeer(PATIENT)
    with serving(peer.app) as url:
        post_back(tmp_path, database, url)._give(post_back(tmp_path, database, url)._due()[0])  # and then it crashed
        assert post_back(tmp_path, database, url).once() == 1
    assert len(peer.given) == 1
    assert told(database, job) == ["given to the FHIR server"]


@pytest.mark.parametrize("status", [503, 401, 403])
def test_a_server_that_is_busy_or_does_not_take_the_token_is_asked_again(tmp_path, database, status):
    job = done(tmp_path, database)
    peer = FhirPeer(PATIENT, statuses=(status,))
    with serving(peer.app) as url:
        back = post_back(tmp_path, database, url)
        with pytest.raises(PeerUnavailable, match=str(status)):
            back.once()
        assert (told(database, job), peer.given) == ([], [])
        assert back.once() == 1
    assert len(peer.given) == 1


def test_a_server_that_is_away_is_asked_again(tmp_path, database):
    job = done(tmp_path, database)
    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(PeerUnavailable):
        post_back(tmp_path, database, f"http://127.0.0.1:{port}").once()
    assert told(database, job) == []


def test_what_the_server_refuses_is_told_and_costs_the_next_nothing(tmp_path, database):
    first, second = done(tmp_path, database, 1), done(tmp_path, database, 2)
    peer = FhirPeer(PATIENT, statuses=(422,))
    with serving(peer.app) as url:
        back = post_back(tmp_path, database, url)
        assert (back.once(), back.once()) == (2, 0)
    assert told(database, first) == ["not given: the FHIR server answered 422"]
    assert told(database, second) == ["given to the FHIR server"]
    assert len(peer.given) == 1


def test_jobs_in_shadow_of_other_pipelines_or_without_their_files_are_not_given(tmp_path, database):
    done(tmp_path, database, 1, shadow=True)
    done(tmp_path, database, 2, pipeline="knee_super_resolution")
    gone = done(tmp_path, database, 3)
    (tmp_path / "data" / "jobs" / gone.id / "result.json").unlink()
    peer = FhirPeer(PATIENT)
    with serving(peer.app) as url:
        assert post_back(tmp_path, database, url).once() == 1
    assert peer.given == []
    assert told(database, gone) == ["not given: the job's folder is gone"]


def test_it_is_off_unless_the_configuration_asks_for_it(tmp_path, database):
    assert post_back(tmp_path, database, "http://127.0.0.1:1").wanted
    assert not PostBack(Configuration.model_validate({}), database).wanted
    records = {"fhir": {"url": "http://127.0.0.1:1"}}
    assert not PostBack(Configuration.model_validate({"records": records}), database).wanted
