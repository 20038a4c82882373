"""Patients are merged by HL7 while a node works: images, earlier reports and results become the survivor's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, generate_uid
from sqlalchemy import select

from node.database.jobs import JobState
from node.database.tables import AuditRow, EventRow, JobRow, OutboxRow
from node.demo.orthanc_process import free_port
from node.patient_records.store import new_key
from tests.node.patient_records.adt import adt, told
from tests.node.run.trial import install_trial, mr_instances
from tests.running import RunningNode
from tests.waiting import until

REPORT = str(Comprehensive3DSRStorage)


class Site(RunningNode):
    """A node that follows merges and corrections, runs the trial pipeline and sends to a folder."""

    def __init__(self, folder: Path) -> None:
        (folder / "records.key").write_bytes(new_key())
        self.mllp = free_port()
        settings = {"journal": str(folder / "journal.txt"), "run_while": str(folder / "hold")}
        route = {"when": {"Modality": "MR"}, "pipeline": "trial", "settings": settings}
        super().__init__(
            folder,
            destinations={"archive": {"kind": "folder", "path": str(folder / "archive")}},
            routes={"trial": {**route, "destinations": ["archive"]}},
            records={
                "key_file": "records.key",
                "issuers": {"HOSP": ""},
                "patient_changes": True,
                "mllp": {"port": self.mllp},
            },
            run={"memory_limit_mb": 2048, "box": "off"},  # its journal lies beside the data folder
        )

    def told(self, *messages: str) -> list[str]:
        return told(self.mllp, messages)

    def scanned(self, *patient_ids: str, day: str = "20260102", **elements: str) -> str:
        """Send a study, one image under each patient ID; its UID."""
        images = mr_instances(len(patient_ids))
        for image, patient_id in zip(images, patient_ids, strict=True):
            image.PatientID, image.StudyDate = patient_id, day
            for keyword, value in elements.items():
                setattr(image, keyword, value)
        assert set(self.send(images)) == {0}
        return str(images[0].StudyInstanceUID)

    def job(self, study: str, state: JobState) -> JobRow:
        """The study's job, once it is in that state."""

        def found() -> list[JobRow]:
            return [job for job in self.jobs(study) if job.state == state]

        return until(found, f"the job is {state}", 60)[0]

    def reports(self, study: str) -> list[Dataset]:
        """The study's reports at the destination, the first written first."""
        paths = sorted((self.folder / "archive").rglob("*.dcm"), key=lambda path: path.stat().st_mtime_ns)
        found = [dcmread(path) for path in paths]
        return [one for one in found if one.StudyInstanceUID == study and one.SOPClassUID == REPORT]

    def patients(self, study: str) -> set[str]:
        """The patient IDs of all that the destination has of a study."""
        found = [dcmread(path) for path in (self.folder / "archive").rglob("*.dcm")]
        return {str(one.PatientID) for one in found if one.StudyInstanceUID == study}

    def changed(self, job: JobRow) -> list[str]:
        """What the job's timeline says of changes of the patient."""
        query = select(EventRow.detail).where(EventRow.job_id == job.id, EventRow.what == "patient changed")
        return self.all(query.order_by(EventRow.id))

    def condyle(self, *words: str) -> str:
        command = [sys.executable, "-m", "node", *words, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("node")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", install_trial(folder / "trial"))
        made = Site(folder)
        with made:
            yield made


def test_a_study_of_a_merged_patient_is_the_survivors_with_its_earlier_report(site: Site) -> None:
    before = site.scanned("PAT-OLD", day="20250101", PatientName="Unknown^Trauma", PatientBirthDate="", PatientSex="")
    first = site.job(before, JobState.DONE)
    assert site.told(adt("A40", "PAT-NEW", "PAT-OLD")) == ["AA"]
    assert len(site.changed(first)) == 1

    after = site.scanned("PAT-OLD", "PAT-NEW", PatientName="Muster^Erika")
    site.job(after, JobState.DONE)
    (report,) = site.reports(after)
    assert (report.PatientID, str(report.PatientName), report.PatientBirthDate) == (
        "PAT-NEW",
        "Muster^Erika",
        "19600229",
    )
    assert site.patients(after) == {"PAT-NEW"}
    (earlier,) = site.reports(before)
    assert earlier.PatientID == "PAT-OLD"
    journal = (site.folder / "journal.txt").read_text()
    assert f"given-{earlier.SOPInstanceUID} " in journal
    stored = b"".join(path.read_bytes() for path in (site.folder / "data").glob("node.db*"))
    for secret in ("PAT-OLD", "PAT-NEW", "Muster", "Trauma"):
        assert secret not in site.log_text()
        assert secret.encode() not in stored


def test_a_result_that_is_not_encoded_yet_names_the_patient_of_now(site: Site) -> None:
    (site.folder / "hold").touch()
    study = site.scanned("WAITING", PatientName="Muster^Erika")
    until(lambda: f"run {_series(site, study)} " in (site.folder / "journal.txt").read_text(), "it is being run")
    assert site.told(adt("A40", "ARRIVED", "WAITING", name="Beispiel^Erika^^^Dr")) == ["AA"]
    (site.folder / "hold").unlink()
    job = site.job(study, JobState.DONE)
    (report,) = site.reports(study)
    assert (report.PatientID, str(report.PatientName)) == ("ARRIVED", "Beispiel^Erika^^Dr")
    assert [item.PatientID for item in report.OtherPatientIDsSequence] == ["WAITING"]
    assert site.patients(study) == {"ARRIVED"}
    assert site.changed(job) == []


def test_a_job_that_two_patients_kept_from_running_is_restarted_once_they_are_one(site: Site) -> None:
    study = site.scanned("TWIN-1", "TWIN-2")
    job = site.job(study, JobState.UNSUITABLE)
    assert "2 patients" in job.reason
    assert site.told(adt("A40", "TWIN-2", "TWIN-1")) == ["AA"]
    assert "it may be restarted" in site.changed(job)[0]
    site.condyle("jobs", "restart", job.id)
    site.job(study, JobState.DONE)
    assert site.patients(study) == {"TWIN-2"}


def test_a_result_that_went_out_is_marked_once_and_can_be_sent_again_under_the_identity_of_now(site: Site) -> None:
    study = site.scanned("SENT")
    job = site.job(study, JobState.DONE)
    merge = adt("A40", "CURRENT", "SENT")
    assert site.told(merge, merge, adt("A40", "CURRENT", "SENT")) == ["AA"] * 3
    assert [line[:45] for line in site.changed(job)] == ["the patient was merged into another patient ID"[:45]]
    assert site.patients(study) == {"SENT"}  # nothing is sent again by itself
    site.condyle("jobs", "send", job.id, "--to", "archive")
    until(lambda: site.patients(study) == {"SENT", "CURRENT"}, "it is sent again", 60)
    site.job(study, JobState.DONE)
    assert site.told(merge) == ["AA"]
    assert len(site.changed(job)) == 1
    states = set(site.all(select(OutboxRow.state).where(OutboxRow.job_id == job.id)))
    assert states == {"delivered"}


def test_a_merge_of_an_unknown_authority_is_answered_and_audited_and_moves_nobody(site: Site) -> None:
    assert site.told(adt("A08", "STAYS")) == ["AA"]
    answers = site.told(
        adt("A40", "WRONG", "STAYS", authority="CLINIC"),
        adt("A40", "WRONG", "STAYS", prior_authority="CLINIC"),
    )
    assert [answer[:2] for answer in answers] == ["AE", "AE"]
    assert all("assigning authority that is known" in answer for answer in answers)
    audited = site.all(select(AuditRow).where(AuditRow.what == "patient change refused"))
    assert sum(row.detail["times"] for row in audited) == 2
    assert {row.who for row in audited} == {"127.0.0.1"}
    study = site.scanned("STAYS")
    site.job(study, JobState.DONE)
    assert site.patients(study) == {"STAYS"}


def _series(site: Site, study: str) -> str:
    jobs = site.jobs(study)
    return jobs[0].series_instance_uids[0] if jobs else generate_uid()
