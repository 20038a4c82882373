"""The result as DICOM objects: with a risk and without one, valid, in the study, saying what they are."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pydicom
import pytest

from dicom_sr.profile import EncodingProfile
from dicom_sr.series import Study, read_studies
from dicom_sr.write.encode import encode
from node.demo.samples import write_knee
from pipelines.context import ClinicalContext, CodedEvent
from pipelines.knee_oa_risk import KneeOaRisk, KneeOaRiskSettings
from tests.dicom_sr.validators import dciodvfy

INDEX = date(2026, 1, 5)
KINDS = {"secondary_capture", "report", "document"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("knee")
    write_knee(folder)
    for path in sorted(folder.glob("*.dcm"))[2:]:
        path.unlink()
    return read_studies(folder.glob("*.dcm"))[0]


def context(weeks: int) -> ClinicalContext:
    """A record of so many weeks, with a visit every tenth and painkillers at its end."""
    days = range(10, 7 * weeks, 70)
    visits = [
        CodedEvent("condition", "http://hl7.org/fhir/sid/icd-10", "M54.5", INDEX - timedelta(days=d)) for d in days
    ]
    drug = CodedEvent("medication", "http://www.whocc.no/atc", "M01AE01", INDEX - timedelta(days=100), days_supply=28)
    return ClinicalContext(INDEX, date(1961, 2, 14), "F", (*visits, drug), "test")


@pytest.mark.parametrize("weeks", [170, 40], ids=["a risk", "too little history"])
def test_every_object_is_valid_and_lies_in_the_study(study: Study, tmp_path: Path, weeks: int) -> None:
    result = KneeOaRisk(KneeOaRiskSettings()).run(study, context(weeks))
    assert bool(result.findings) == (weeks == 170)
    objects = encode(result, EncodingProfile(), datetime(2026, 1, 5, 11, tzinfo=UTC), tmp_path)
    assert {item.kind for item in objects} == KINDS
    for item in objects:
        ds = pydicom.dcmread(item.path)
        assert ds.StudyInstanceUID == study.study_instance_uid
        assert str(ds.PatientID) == "DEMO-KNEE"
        assert dciodvfy(item.path)[0] == []


def test_the_report_says_what_each_contribution_is_of(study: Study, tmp_path: Path) -> None:
    result = KneeOaRisk(KneeOaRiskSettings()).run(study, context(170))
    named = [f.tracking_id for f in result.findings]
    assert len(set(named)) == len(named) > 2
    objects = encode(result, EncodingProfile(), datetime(2026, 1, 5, 11, tzinfo=UTC), tmp_path)
    report = pydicom.dcmread(next(item.path for item in objects if item.kind == "report"))
    findings = next(item for item in report.ContentSequence if "ContentSequence" in item)
    told = [item.ContentSequence[0].TextValue for item in findings.ContentSequence if "ContentSequence" in item]
    assert told == named


def test_the_same_record_gives_the_same_bytes(study: Study, tmp_path: Path) -> None:
    moment = datetime(2026, 1, 5, 11, tzinfo=UTC)
    digests = []
    for folder in ("one", "two"):
        result = KneeOaRisk(KneeOaRiskSettings()).run(study, context(170))
        digests.append([item.sha256 for item in encode(result, EncodingProfile(), moment, tmp_path / folder)])
    assert digests[0] == digests[1]
