"""A notification: what it tells of a result, and of the patient only what the profile lists."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from dicom_sr.findings import NotRun
from dicom_sr.profile import EncodingProfile, PatientDetail
from dicom_sr.write.encode import encode
from tests.factories import MODEL, joint_result, ultrasound_study
from tests.node.run.trial import CREATED

PLAIN = EncodingProfile(kinds=("notification",), not_run_reports=True, page_url="https://node.example.org:8090/")
EVERYTHING: tuple[PatientDetail, ...] = ("accession_number", "study_instance_uid", "patient_id", "patient_name")


def told(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_bytes())
    assert isinstance(found, dict)
    return found


def test_a_notification_tells_what_was_found_and_not_of_whom(tmp_path: Path) -> None:
    study = ultrasound_study(tmp_path / "in")
    header = study.series[0].headers[0]
    (made,) = encode(joint_result(study), PLAIN, CREATED, tmp_path / "out", job="4711")
    text = made.path.read_text()
    for value in (header.PatientID, header.PatientName, header.StudyInstanceUID, header.AccessionNumber):
        assert not str(value) or str(value) not in text
    found = told(made.path)
    assert (found["state"], found["job"], found["link"]) == ("done", "4711", "https://node.example.org:8090/jobs/4711")
    (finding,) = found["findings"]
    assert finding["finding"]["code"] == "SVH-JOINT"
    assert [one["name"]["code"] for one in finding["measurements"]] == ["SVH-ERO"]


def test_what_the_profile_lists_of_the_patient_is_told(tmp_path: Path) -> None:
    study = ultrasound_study(tmp_path / "in")
    header = study.series[0].headers[0]
    profile = replace(PLAIN, patient_details=EVERYTHING)
    (made,) = encode(joint_result(study), profile, CREATED, tmp_path / "out", job="4711")
    assert told(made.path)["patient"] == {
        "accession_number": str(header.get("AccessionNumber") or ""),
        "study_instance_uid": str(header.StudyInstanceUID),
        "patient_id": str(header.PatientID),
        "patient_name": str(header.PatientName),
    }


def test_the_same_result_is_the_same_notification_and_another_has_another_uid(tmp_path: Path) -> None:
    study = ultrasound_study(tmp_path / "in")
    result = joint_result(study)
    (first,) = encode(result, PLAIN, CREATED, tmp_path / "1", job="4711")
    (again,) = encode(result, PLAIN, CREATED, tmp_path / "2", job="4711")
    not_run = NotRun(MODEL, "Joints", study.series, "the series has 3 slices")
    (other,) = encode(not_run, PLAIN, CREATED, tmp_path / "3", job="4711")
    assert (first.sop_instance_uid, first.sha256) == (again.sop_instance_uid, again.sha256)
    assert other.sop_instance_uid != first.sop_instance_uid
    assert told(other.path)["state"] == "not run"
    assert told(other.path)["sentences"] == ["the series has 3 slices"]
