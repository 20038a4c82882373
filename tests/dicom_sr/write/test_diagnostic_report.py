"""DiagnosticReports: valid, whole, the same on every way to them, and naming nobody but by the patient ID."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.codes import CONDYLE
from dicom_sr.errors import EncodingError
from dicom_sr.findings import NotRun, Result
from dicom_sr.profile import DICOM_KINDS, EncodedObject, EncodingProfile
from dicom_sr.write.encode import encode
from tests.dicom_sr.write.test_oru import CREATED, FINDING, MODEL, result, without_patient_id
from tests.factories import changed, knee_study

PROFILE = EncodingProfile(kinds=("diagnostic_report",), identifier_system="urn:h", not_run_reports=True)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return knee_study(tmp_path_factory.mktemp("knee")).series


def written(folder: Path, of: Result | NotRun, profile: EncodingProfile = PROFILE, **more: Any) -> EncodedObject:
    (made,) = encode(of, profile, CREATED, folder, **{"job": "j1", **more})
    return made


def bundle(made: EncodedObject) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(made.path.read_text(encoding="ascii"))
    return content


def resources(content: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in content["entry"] if entry["resource"]["resourceType"] == kind]


def report(content: dict[str, Any]) -> dict[str, Any]:
    (found,) = resources(content, "DiagnosticReport")
    return found


def by_code(content: dict[str, Any], code: Code) -> dict[str, Any]:
    return next(o for o in resources(content, "Observation") if o["code"]["coding"][0]["code"] == code.value)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def test_every_example_is_a_valid_bundle_whose_references_lead_somewhere(
    reporting: dict[str, dict[str, Path]],
) -> None:
    for name, files in reporting.items():
        content = json.loads(files["diagnostic_report"].read_bytes())
        Bundle.model_validate(content)
        addresses = [entry["fullUrl"] for entry in content["entry"]]
        assert len(set(addresses)) == len(addresses), name
        searches = Counter(entry["request"].get("ifNoneExist", entry["request"]["url"]) for entry in content["entry"])
        assert set(searches.values()) == {1}, name
        local = {one for one in references(content) if not one.startswith("#")}
        assert local <= set(addresses), name
        # every Observation is reached from the report
        reached = {one["reference"] for one in report(content)["result"]}
        reached |= {m["reference"] for o in resources(content, "Observation") for m in o.get("hasMember", [])}
        assert reached == {e["fullUrl"] for e in content["entry"] if e["resource"]["resourceType"] == "Observation"}


def test_the_report_names_patient_study_order_and_job(tmp_path: Path, evidence: Any) -> None:
    made = written(tmp_path, result(evidence))
    found, source = report(bundle(made)), evidence[0].headers[0]
    assert found["status"] == "preliminary"
    assert found["code"]["coding"][0]["code"] == "126000"
    assert found["subject"] == {"type": "Patient", "identifier": {"value": source.PatientID, "system": "urn:h"}}
    assert found["imagingStudy"][0]["identifier"]["value"] == f"urn:oid:{source.StudyInstanceUID}"
    assert found["basedOn"][0]["identifier"]["value"] == source.AccessionNumber
    assert {"system": "urn:condyle:job", "value": "j1"} in found["identifier"]
    assert found["conclusion"].startswith("Something was found.\nNot evaluable: Right knee: Metal | covers it.")
    assert "Research use only. Not for diagnosis. Trained on simulated images." in found["conclusion"]
    assert found["issued"] == "2026-01-05T12:30:00+00:00"
    assert str(source.PatientName.family_name) not in made.path.read_text()
    assert made.study_instance_uid == source.StudyInstanceUID


def test_a_number_has_its_unit_its_uncertainty_its_place_and_its_device(tmp_path: Path, evidence: Any) -> None:
    content = bundle(written(tmp_path, result(evidence)))
    number = by_code(content, codes.SIGNAL_TO_NOISE)
    unit = {"unit": "no units", "system": "http://unitsofmeasure.org", "code": "1"}
    assert number["valueQuantity"] == {"value": 1.25e-05, **unit}
    uncertainty = {one["code"]["coding"][0]["code"]: one["valueQuantity"]["value"] for one in number["component"]}
    assert uncertainty == {"VALUE-SD": 0.4, "VALUE-LO": 1.5, "VALUE-HI": 2.25}
    assert number["note"][0]["text"] == "Standard deviation 0.4, 90% interval 1.5 to 2.25"
    assert number["bodySite"]["coding"][0]["code"] == codes.KNEE_JOINT.value
    (place,) = number["contained"]
    assert place["locationQualifier"][0]["coding"][0]["code"] == codes.LEFT.value
    assert number["extension"][0]["valueReference"] == {"reference": "#site"}
    (device,) = resources(content, "Device")
    assert device["deviceName"] == [{"name": "trial", "type": "model-name"}]
    assert device["property"][0]["valueCode"][0]["text"] == MODEL.weights_digest
    assert number["device"]["reference"] == content["entry"][0]["fullUrl"]


def test_what_could_not_be_judged_has_no_value_but_a_reason(tmp_path: Path, evidence: Any) -> None:
    observations = resources(bundle(written(tmp_path, result(evidence))), "Observation")
    (blind,) = [one for one in observations if "dataAbsentReason" in one]
    assert [one["code"] for one in blind["dataAbsentReason"]["coding"]] == ["unknown", codes.WHY_IMPLANT.value]
    assert blind["dataAbsentReason"]["coding"][1]["system"] == f"urn:oid:{CONDYLE.uid}"
    assert blind["dataAbsentReason"]["text"] == "Metal | covers it."
    assert not [key for key in blind if key.startswith("value")]


def test_a_revised_result_takes_the_place_of_the_first_and_names_its_jobs(tmp_path: Path, evidence: Any) -> None:
    final = replace(PROFILE, report_status="final")
    first = bundle(written(tmp_path / "a", result(evidence), final))
    made = written(tmp_path / "b", result(evidence), final, job="j3", earlier_jobs=("j2", "j1"))
    revised = bundle(made)
    assert [entry["request"] for entry in first["entry"]] == [entry["request"] for entry in revised["entry"]]
    assert (report(first)["status"], report(revised)["status"]) == ("final", "corrected")
    jobs = [
        (one["value"], one.get("use")) for one in report(revised)["identifier"] if one["system"] == "urn:condyle:job"
    ]
    assert jobs == [("j3", None), ("j2", "old"), ("j1", "old")]


def test_two_results_have_reports_of_their_own_and_one_algorithm(tmp_path: Path, evidence: Any) -> None:
    first, second = (bundle(written(tmp_path / job, result(evidence), job=job)) for job in ("j1", "j2"))
    assert first["entry"][0] == second["entry"][0]
    assert not {entry["fullUrl"] for entry in first["entry"][1:]} & {entry["fullUrl"] for entry in second["entry"][1:]}


def test_the_same_job_gives_the_same_bytes(tmp_path: Path, evidence: Any) -> None:
    first, again = (written(tmp_path / name, result(evidence)) for name in "ab")
    assert (first.sop_instance_uid, first.sha256) == (again.sop_instance_uid, again.sha256)


def test_a_pipeline_that_did_not_run_is_a_cancelled_report_with_the_reason(tmp_path: Path, evidence: Any) -> None:
    content = bundle(written(tmp_path, NotRun(MODEL, "Trial", evidence, "too few slices")))
    assert report(content)["status"] == "cancelled"
    assert report(content)["conclusion"].startswith("Analysis not performed: too few slices")
    (observation,) = resources(content, "Observation")
    assert observation["note"] == [{"text": "too few slices"}]


@pytest.mark.parametrize(
    ("finding", "reason"),
    [
        (replace(FINDING, finding=Code("X", "NONESUCH", "Something")), "no name for the coding scheme NONESUCH"),
        (
            replace(FINDING, measurements=(replace(FINDING.measurements[0], value=float("nan")),)),
            "the Bundle is not valid FHIR in",
        ),
    ],
)
def test_what_makes_no_valid_bundle_is_an_error_that_names_no_patient(
    tmp_path: Path, evidence: Any, finding: Any, reason: str
) -> None:
    with pytest.raises(EncodingError, match=reason) as error:
        written(tmp_path, result(evidence, findings=(finding,)))
    assert str(evidence[0].headers[0].PatientID) not in str(error.value)


def test_without_a_patient_id_there_is_none(tmp_path: Path) -> None:
    nameless = changed(knee_study(tmp_path / "in"), without_patient_id).series
    with pytest.raises(EncodingError, match="a DiagnosticReport needs a patient ID"):
        written(tmp_path / "out", result(nameless))


def test_archives_do_not_get_it() -> None:
    assert "diagnostic_report" not in DICOM_KINDS
