from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment
from pydicom.sr.coding import Code

from dicom_sr.errors import EncodingError
from dicom_sr.findings import Model, Prediction, Result, RiskStatement, Subject
from dicom_sr.profile import DEFAULT_KINDS, EncodedObject, EncodingProfile
from dicom_sr.write.encode import encode
from tests.factories import knee_study

CREATED = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)
DAY = date(2026, 1, 4)
PROFILE = EncodingProfile(kinds=("risk_assessment",), identifier_system="urn:h")
OUTCOME = Code("239873007", "SCT", "Osteoarthritis of knee")
STATED = RiskStatement(
    OUTCOME,
    "First diagnosis of knee osteoarthritis",
    DAY,
    (
        Prediction(1, 0.025, interval=(0.0125, 0.05)),
        Prediction(2.5, 0.08, interval=(0.04, 0.16), interval_level=0.8),
        Prediction(5, 0.14, relative_risk=1.75),
    ),
)


def result(**more: Any) -> Result:
    fields: dict[str, Any] = {
        "model": Model("risk", "1.0", "ab" * 32, "trained on simulated patient records"),
        "title": "Knee risk",
        "evidence": (),
        "conclusion": ("Low.",),
        "limits": ("Simulated.",),
        "subject": Subject("P-1"),
        "risk": STATED,
    }
    return Result(**{**fields, **more})


def encoded(folder: Path, of: Result, profile: EncodingProfile = PROFILE, job: str = "j1") -> EncodedObject:
    (made,) = encode(of, profile, CREATED, folder, job=job)
    return made


def resource(folder: Path, of: Result, profile: EncodingProfile = PROFILE, job: str = "j1") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(encoded(folder, of, profile, job).path.read_text(encoding="ascii"))
    return content


def test_every_number_of_the_statement_is_in_a_valid_resource(tmp_path: Path) -> None:
    content = resource(tmp_path, result())
    assert RiskAssessment.model_validate(content).status == "preliminary"
    assert content["subject"] == {"type": "Patient", "identifier": {"value": "P-1", "system": "urn:h"}}
    assert content["occurrenceDateTime"] == "2026-01-04"
    assert content["method"] == {"text": "risk 1.0, weights abababababab"}
    assert content["identifier"] == [{"system": "urn:condyle:job", "value": "j1"}]
    assert content["meta"] == {"lastUpdated": "2026-01-05T12:30:00+00:00"}
    assert [note["text"] for note in content["note"]] == ["Low.", "trained on simulated patient records", "Simulated."]
    assert "basis" not in content

    first, second, third = content["prediction"]
    assert first["outcome"]["coding"] == [
        {"system": "http://snomed.info/sct", "code": "239873007", "display": "Osteoarthritis of knee"}
    ]
    assert [one["probabilityDecimal"] for one in (first, second, third)] == [0.025, 0.08, 0.14]
    assert [one["whenRange"]["high"]["value"] for one in (first, second, third)] == [1, 2.5, 5]
    bounds = {"low": {"value": 0.0125}, "high": {"value": 0.05}}
    assert first["extension"] == [{"url": "urn:condyle:fhir:probability-interval", "valueRange": bounds}]
    assert first["rationale"] == "90% interval 0.0125 to 0.0500"
    assert second["rationale"] == "80% interval 0.0400 to 0.1600"
    assert third["relativeRisk"] == 1.75
    assert {"extension", "rationale"} & set(third) == set()


def test_a_missing_probability_is_a_prediction_with_the_reason_in_its_place(tmp_path: Path) -> None:
    abstained = replace(STATED, predictions=(Prediction(1, None, reason="Too little history."),))
    (prediction,) = resource(tmp_path, result(risk=abstained))["prediction"]
    assert prediction["rationale"] == "Too little history."
    assert "probabilityDecimal" not in prediction


def test_the_risk_of_a_study_names_the_study_and_its_patient(tmp_path: Path) -> None:
    study = knee_study(tmp_path / "in")
    content = resource(tmp_path, result(evidence=study.series, subject=None))
    header = study.series[0].headers[0]
    assert content["basis"][0]["identifier"]["value"] == f"urn:oid:{study.study_instance_uid}"
    assert content["subject"]["identifier"]["value"] == header.PatientID


def test_nothing_about_the_object_but_its_file_tells_whose_it_is(tmp_path: Path) -> None:
    made = encoded(tmp_path, result())
    assert (made.sop_class_uid, made.series_instance_uid, made.study_instance_uid) == ("", "", "")
    assert made.sop_instance_uid.startswith("2.25.")


def test_two_jobs_and_two_servers_systems_have_objects_of_their_own_and_the_same_job_the_same_bytes(
    tmp_path: Path,
) -> None:
    first, again = (encoded(tmp_path / name, result()) for name in "ab")
    assert (first.sop_instance_uid, first.sha256) == (again.sop_instance_uid, again.sha256)
    other_job = encoded(tmp_path / "c", result(), job="j2")
    other_system = encoded(tmp_path / "d", result(), replace(PROFILE, identifier_system="urn:i"))
    assert len({one.sop_instance_uid for one in (first, other_job, other_system)}) == 3


def test_a_result_without_a_risk_and_a_profile_for_dicom_make_none(tmp_path: Path) -> None:
    assert encode(result(risk=None), PROFILE, CREATED, tmp_path) == ()
    assert "risk_assessment" not in DEFAULT_KINDS


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"subject": Subject(" ")}, "needs a patient ID"),
        ({"risk": replace(STATED, outcome=Code("X", "99ELSE", "Something"))}, "coding scheme 99ELSE"),
        ({"risk": replace(STATED, predictions=(Prediction(1, 0.1, relative_risk=float("nan")),))}, "not valid FHIR in"),
    ],
)
def test_what_makes_no_valid_resource_is_an_error_that_names_no_patient(
    tmp_path: Path, fields: Any, reason: str
) -> None:
    with pytest.raises(EncodingError, match=reason) as error:
        encoded(tmp_path, result(**fields))
    assert "P-1" not in str(error.value)
