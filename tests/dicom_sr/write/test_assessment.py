from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_sr.findings import Finding
from dicom_sr.profile import EncodedObject, EncodingProfile
from dicom_sr.read.headers import made_by_us
from dicom_sr.write.assessment import Reader, encode_assessment
from dicom_sr.write.encode import encode
from pipelines.example import CREATED
from tests.dicom_sr import assessed
from tests.factories import joint_result, radiograph_study

PROFILE = EncodingProfile(kinds=("secondary_capture", "report"), institution="St. Elsewhere")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("assessed")


@pytest.fixture(scope="module")
def findings(folder: Path) -> tuple[Finding, ...]:
    (finding,) = joint_result(radiograph_study(folder / "in")).findings
    return tuple(replace(finding, tracking_id=f"SvH R {site}") for site in ("MCP2", "MCP3", "MCP4"))


@pytest.fixture(scope="module")
def objects(folder: Path, findings: tuple[Finding, ...]) -> tuple[EncodedObject, ...]:
    result = replace(joint_result(radiograph_study(folder / "in")), findings=findings)
    return encode(result, PROFILE, CREATED, folder / "out")


@pytest.fixture(scope="module")
def document(folder: Path, findings: tuple[Finding, ...], objects: tuple[EncodedObject, ...]) -> Dataset:
    return pydicom.dcmread(assessed.assessment_of(findings, objects, PROFILE, folder / "said").path)


def named(parent: Dataset, value: str) -> list[Dataset]:
    return [item for item in parent.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == value]


def said(group: Dataset, value: str) -> list[str]:
    return [item.ConceptCodeSequence[0].CodeValue for item in named(group, value)]


def test_each_finding_has_its_answer_its_reason_and_its_new_value(
    document: Dataset, objects: tuple[EncodedObject, ...]
) -> None:
    (measurements,) = named(document, "126010")
    accepted, modified, rejected = measurements.ContentSequence
    assert [said(group, "VERDICT") for group in measurements.ContentSequence] == [
        ["VERDICT-ACCEPTED"],
        ["VERDICT-MODIFIED"],
        ["VERDICT-REJECTED"],
    ]
    report = pydicom.dcmread(next(one.path for one in objects if one.kind == "report"))
    assert {named(g, "112039")[0].TextValue: named(g, "112040")[0].UID for g in measurements.ContentSequence} == (
        assessed.tracking_uids(report)
    )
    (number,) = named(modified, "SVH-ERO")
    assert number.MeasuredValueSequence[0].NumericValue == 3.0
    assert (said(accepted, "VERDICT-WHY"), said(modified, "VERDICT-WHY")) == ([], ["BY-VALUE"])
    assert named(rejected, "121106")[0].TextValue == "An old fracture."


def test_the_whole_result_has_an_answer_of_its_own(document: Dataset) -> None:
    (whole,) = named(document, "C0034375")
    assert (said(whole, "VERDICT"), named(whole, "121106")[0].TextValue) == (
        ["VERDICT-MODIFIED"],
        "One score is too low.",
    )


def test_a_person_says_it_and_this_node_writes_it_down(document: Dataset) -> None:
    assert said(document, "121005") == ["121006", "121007"]  # a person, then a device
    assert str(named(document, "121008")[0].PersonName) == "Röntgen^Wilhelm Conrad"
    assert str(document.AuthorObserverSequence[0].PersonName) == "Röntgen^Wilhelm Conrad"
    assert document.DeviceUID == named(document, "121012")[0].UID
    assert (document.VerificationFlag, document.ContentDate, document.ContentTime) == (
        *("UNVERIFIED", "20261123"),
        "090807",
    )
    assert made_by_us(document)


def test_it_lies_in_the_study_of_the_result_and_refers_to_its_objects(
    document: Dataset, objects: tuple[EncodedObject, ...]
) -> None:
    report = pydicom.dcmread(next(one.path for one in objects if one.kind == "report"))
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber", "StudyDate"):
        assert document[keyword].value == report[keyword].value
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    evidence = {i.ReferencedSOPInstanceUID for s in study.ReferencedSeriesSequence for i in s.ReferencedSOPSequence}
    (about,) = named(document, "VERDICT-ABOUT")
    named_there = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in about.ContentSequence}
    assert evidence == named_there == {one.sop_instance_uid for one in objects}
    assert document.SeriesInstanceUID not in {one.series_instance_uid for one in objects}


def test_the_same_words_make_the_same_bytes_and_other_words_another_object(
    folder: Path, findings: tuple[Finding, ...], objects: tuple[EncodedObject, ...]
) -> None:
    def again(name: str, of: tuple[Finding, ...]) -> EncodedObject:
        return assessed.assessment_of(of, objects, PROFILE, folder / name)

    first, second = again("one", findings), again("two", findings)
    assert (first.sop_instance_uid, first.sha256) == (second.sop_instance_uid, second.sha256)
    other = again("three", findings[::-1])
    assert other.sop_instance_uid != first.sop_instance_uid
    assert other.series_instance_uid == first.series_instance_uid


def test_it_holds_its_time_in_the_zone_of_the_report(
    folder: Path, findings: tuple[Finding, ...], objects: tuple[EncodedObject, ...]
) -> None:
    report = pydicom.dcmread(next(one.path for one in objects if one.kind == "report"))
    report.TimezoneOffsetFromUTC = "-0500"
    reader = Reader("Roe^Jane", datetime(2026, 12, 1, 3, 8, 7, tzinfo=UTC))
    said = assessed.said_of(findings, report)
    ds = pydicom.dcmread(encode_assessment(report, objects, said, reader, PROFILE, folder / "zone").path)
    assert (ds.ContentDate, ds.ContentTime, ds.TimezoneOffsetFromUTC) == ("20261130", "220807", "-0500")
