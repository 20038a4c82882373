"""ORU messages: valid as hl7apy reads the structures of 2.5.1, whole, and read back by our own reader."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.errors import EncodingError
from dicom_sr.findings import Evaluation, Finding, Measurement, Model, NotEvaluable, NotRun, Result, Site
from dicom_sr.profile import EncodedObject, EncodingProfile, MessageHeader
from dicom_sr.write.encode import encode, encode_what_can_be
from dicom_sr.write.hl7 import control_id
from pipelines.records.hl7 import read_message
from pipelines.records.hl7_text import Segment, Separators, decoded
from tests.factories import changed, knee_study

CREATED = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)
HEADER = MessageHeader(sending_facility="NORTH", receiving_application="RIS")
PROFILE = EncodingProfile(kinds=("oru",), message=HEADER, not_run_reports=True)
MODEL = Model("trial", "1.0", "ab" * 32, "trained on simulated images")
SITE = Site(codes.KNEE_JOINT, "L")
FINDING = Finding(
    "Left knee",
    codes.ABNORMAL,
    SITE,
    measurements=(
        Measurement(codes.SIGNAL_TO_NOISE, 0.0000125, codes.NO_UNITS, standard_deviation=0.4, interval=(1.5, 2.25)),
    ),
    evaluations=(Evaluation(codes.IMAGE_QUALITY, codes.NORMAL),),
)
BLIND = NotEvaluable("Right knee", codes.ABNORMAL, codes.WHY_IMPLANT, "Metal | covers it.", Site(codes.KNEE_JOINT, "R"))
MAXIMUM_ST = 199  # characters; hl7apy takes every OBX-5 that has no components for ST, whatever OBX-2 says


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return knee_study(tmp_path_factory.mktemp("knee")).series


def result(evidence: Any, **more: Any) -> Result:
    found = {"conclusion": ("Something was found.",), "findings": (FINDING,), "not_evaluable": (BLIND,)}
    return Result(MODEL, "Trial", evidence, **{**found, **more})


def written(folder: Path, of: Result | NotRun, profile: EncodingProfile = PROFILE, **more: Any) -> EncodedObject:
    (made,) = encode(of, profile, CREATED, folder, **{"job": "j1", **more})
    return made


def segments(content: bytes) -> list[Segment]:
    return [Segment(line, Separators()) for line in decoded(content).rstrip("\r").split("\r")]


def strictly_valid(content: bytes) -> bool:
    """Whether hl7apy finds nothing wrong by the structures of 2.5.1."""
    lines = []
    for line in decoded(content).split("\r"):
        fields = line.split("|")
        if fields[:1] == ["OBX"] and fields[2] == "TX":
            fields[5] = fields[5][:MAXIMUM_ST]
        lines.append("|".join(fields))
    valid: bool = parse_message("\r".join(lines), validation_level=VALIDATION_LEVEL.STRICT).validate()
    return valid


def test_the_message_of_every_example_is_valid_and_our_own_reader_takes_it(
    reporting: dict[str, dict[str, Path]],
) -> None:
    for name, files in reporting.items():
        content = files["oru"].read_bytes()
        assert strictly_valid(content), name
        read = read_message(decoded(content), {})
        assert (read.event, read.version, read.control_id) == ("ORU^R01", "2.5.1", control_id(content))
        (record,) = read.records
        assert record.identity.patient_id.startswith("SIM-")


def test_a_finding_is_told_with_its_place_its_numbers_and_how_sure_they_are(tmp_path: Path, evidence: Any) -> None:
    found = segments(written(tmp_path, result(evidence)).path.read_bytes())
    rows = [
        (one.component(4), one.component(2), one.component(3), one.component(5), one.component(6), one.component(11))
        for one in found
        if one.name == "OBX" and one.component(4).startswith("1")
    ]
    assert rows[1:] == [
        ("1", "ST", "112039", "Left knee", "", "P"),
        ("1", "CWE", "121071", codes.ABNORMAL.value, "", "P"),
        ("1", "CWE", "363698007", codes.KNEE_JOINT.value, "", "P"),
        ("1", "CWE", "272741003", codes.LEFT.value, "", "P"),
        ("1.1", "NM", codes.SIGNAL_TO_NOISE.value, "0.0000125", "1", "P"),
        ("1.1.1", "NM", "VALUE-SD", "0.4", "1", "P"),
        ("1.1.2", "NM", "VALUE-LO", "1.5", "1", "P"),
        ("1.1.3", "NM", "VALUE-HI", "2.25", "1", "P"),
        ("1.2", "CWE", codes.IMAGE_QUALITY.value, codes.NORMAL.value, "", "P"),
    ]
    notes = [one.component(3) for one in found if one.name == "NTE"]
    assert notes == ["standard deviation 0.4, 90% interval 1.5 to 2.25", "Metal | covers it."]


def test_what_could_not_be_judged_has_no_value_but_a_reason(tmp_path: Path, evidence: Any) -> None:
    found = segments(written(tmp_path, result(evidence)).path.read_bytes())
    (blind,) = [one for one in found if one.name == "OBX" and one.component(11) == "X"]
    assert (blind.component(3), blind.component(2), blind.component(5)) == (codes.ABNORMAL.value, "", "")
    why = next(one for one in found if one.component(3) == codes.WHY.value)
    assert (why.component(4), why.component(5)) == (blind.component(4), codes.WHY_IMPLANT.value)


def test_the_message_names_patient_study_order_and_who_sends_to_whom(tmp_path: Path, evidence: Any) -> None:
    made = written(tmp_path, result(evidence))
    header, person, order, request, *rest = segments(made.path.read_bytes())
    source = evidence[0].headers[0]
    assert [header.component(n) for n in (3, 4, 5, 6, 12, 18)] == [
        "CONDYLE",
        "NORTH",
        "RIS",
        "",
        "2.5.1",
        "UNICODE UTF-8",
    ]
    assert person.component(3) == source.PatientID
    assert (person.component(5), person.component(5, 1, 2)) == (
        source.PatientName.family_name,
        source.PatientName.given_name,
    )
    assert person.component(7) == source.PatientBirthDate
    assert (order.component(1), order.component(3)) == ("RE", "j1")
    assert (request.component(3), request.component(4), request.component(25)) == ("j1", "126000", "P")
    assert [request.component(4, 1, n) for n in (4, 5)] == ["trial", "Trial"]
    assert request.component(18) == source.AccessionNumber
    assert rest[0].component(5) == source.StudyInstanceUID
    assert made.study_instance_uid == source.StudyInstanceUID
    assert made.sop_class_uid == ""


def test_the_patient_may_be_told_by_the_patient_id_alone(tmp_path: Path, evidence: Any) -> None:
    header = replace(HEADER, patient="identifier", assigning_authority="1.2.276.0.76")
    content = written(tmp_path, result(evidence), replace(PROFILE, message=header)).path.read_bytes()
    source = evidence[0].headers[0]
    assert f"PID|1||{source.PatientID}^^^&1.2.276.0.76&ISO^PI||^^^^^^S" in content.decode().split("\r")
    assert str(source.PatientName.family_name) not in content.decode()
    assert strictly_valid(content)


def test_a_revised_result_has_the_order_of_the_first_and_says_so(tmp_path: Path, evidence: Any) -> None:
    final = replace(PROFILE, report_status="final")
    first = written(tmp_path / "a", result(evidence), final)
    revised = written(tmp_path / "b", result(evidence), final, job="j3", earlier_jobs=("j2", "j1"))
    requests = [segments(one.path.read_bytes())[3] for one in (first, revised)]
    assert [one.component(3) for one in requests] == ["j1", "j1"]
    assert [one.component(25) for one in requests] == ["F", "C"]
    assert control_id(first.path.read_bytes()) != control_id(revised.path.read_bytes())
    assert first.sop_instance_uid != revised.sop_instance_uid


def test_the_same_job_gives_the_same_message(tmp_path: Path, evidence: Any) -> None:
    first, again = (written(tmp_path / name, result(evidence)) for name in "ab")
    assert (first.sop_instance_uid, first.sha256) == (again.sop_instance_uid, again.sha256)


def test_a_pipeline_that_did_not_run_says_why(tmp_path: Path, evidence: Any) -> None:
    found = segments(written(tmp_path, NotRun(MODEL, "Trial", evidence, "too few slices")).path.read_bytes())
    assert found[3].component(25) == "X"
    assert any("too few slices" in one.component(5) for one in found)


def test_without_a_patient_id_there_is_no_message_and_the_reason_is_told(tmp_path: Path) -> None:
    nameless = changed(knee_study(tmp_path / "in"), without_patient_id).series
    made = encode_what_can_be(result(nameless), PROFILE, CREATED, tmp_path / "out", job="j1")
    assert made.objects == ()
    assert [str(one) for one in made.left_out] == ["HL7 message: an HL7 message needs a patient ID"]
    with pytest.raises(EncodingError, match="needs a patient ID"):
        encode(result(nameless), PROFILE, CREATED, tmp_path / "out", job="j1")


def without_patient_id(_: int, ds: Dataset) -> Dataset:
    ds.PatientID = ""
    return ds


def test_a_code_of_a_scheme_that_is_nobodys_is_sent_as_it_is(tmp_path: Path, evidence: Any) -> None:
    other = replace(FINDING, finding=Code("M25.5", "I10", "Pain in joint"))
    content = written(tmp_path, result(evidence, findings=(other,))).path.read_bytes()
    assert b"|M25.5^Pain in joint^I10|" in content
