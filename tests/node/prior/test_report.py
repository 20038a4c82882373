"""Which report may stand for the patient's last one, and which may not."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedSRStorage, generate_uid

from node.prior.report import LARGEST, Moment, NotUsable, SomebodyElse, Wanted, examined, latest, normalised
from node.study.headers import StudyHeader
from tests.node.prior.earlier import PIPELINE, part10, radiograph, report

NOW = datetime(2026, 5, 5, 9, tzinfo=UTC)


def wanted(default_issuer: str = "", **elements: str) -> Wanted:
    return Wanted.of(PIPELINE, StudyHeader.of(radiograph(**elements), default_issuer), NOW)


def test_an_earlier_report_of_the_patient_by_the_pipeline_may_be_used() -> None:
    ds = report()
    found = examined(part10(ds), wanted(), "")
    assert (found.sop_instance_uid, found.study_instance_uid) == (ds.SOPInstanceUID, ds.StudyInstanceUID)
    assert found.made == Moment("20250404", "080000")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"SOPClassUID": EnhancedSRStorage}, "no report"),
        ({"Manufacturer": "Somebody"}, "not of this pipeline"),
        ({"ManufacturerModelName": "knee_oa_risk"}, "not of this pipeline"),
        ({"StudyDate": "20270101"}, "not of an earlier study"),
        ({"StudyDate": "20260505", "StudyTime": "080000"}, "not of an earlier study"),
        ({"StudyDate": "20260505", "StudyTime": ""}, "not of an earlier study"),
        ({"StudyDate": ""}, "not of an earlier study"),
    ],
)
def test_what_is_no_earlier_report_of_the_pipeline_is_left_out(change: dict[str, str], why: str) -> None:
    with pytest.raises(NotUsable, match=why):
        examined(part10(report(**change)), wanted(), "")


def test_a_report_of_the_study_that_is_being_read_is_not_an_earlier_one() -> None:
    study = generate_uid()
    with pytest.raises(NotUsable, match="earlier study"):
        examined(part10(report(StudyInstanceUID=study)), wanted(StudyInstanceUID=study), "")


@pytest.mark.parametrize(
    ("theirs", "ours", "field"),
    [
        ({"PatientID": "K4712"}, {}, "patient ID"),
        ({"PatientID": ""}, {"PatientID": ""}, "patient ID"),
        ({"IssuerOfPatientID": "OTHER"}, {}, "issuer of the patient ID"),
        ({}, {"IssuerOfPatientID": "SITE"}, "issuer of the patient ID"),
        ({"PatientBirthDate": "19600301"}, {}, "birth date"),
        ({"PatientSex": "M"}, {}, "sex"),
        ({"PatientBirthDate": "", "PatientName": "Other^Erika"}, {}, "family name"),
    ],
)
def test_a_report_of_somebody_else_is_never_taken(theirs: dict[str, str], ours: dict[str, str], field: str) -> None:
    with pytest.raises(SomebodyElse) as error:
        examined(part10(report(**theirs)), wanted(**ours), "")
    assert str(error.value) == field


@pytest.mark.parametrize(
    "theirs", [{"PatientName": "Married^Erika"}, {"PatientBirthDate": ""}, {"PatientBirthDate": "", "PatientName": ""}]
)
def test_a_new_name_or_a_missing_birth_date_does_not_make_somebody_else(theirs: dict[str, str]) -> None:
    assert examined(part10(report(**theirs)), wanted(), "")


def test_an_id_without_an_issuer_is_of_the_default_issuer() -> None:
    assert examined(part10(report(IssuerOfPatientID="SITE")), wanted("SITE"), "SITE")


def test_bytes_that_are_no_dicom_are_left_out() -> None:
    for content in (b"", b"hello", part10(report())[:200], b"\0" * (LARGEST + 1)):
        with pytest.raises(NotUsable):
            examined(content, wanted(), "")


def test_an_image_without_a_date_counts_as_of_today() -> None:
    assert wanted(StudyDate="", StudyTime="").made == Moment("20260505")


def test_the_latest_study_counts_and_of_it_the_report_written_last() -> None:
    study = generate_uid()
    candidates = [
        report(StudyDate="20240101", ContentDate="20260101"),
        report(StudyInstanceUID=study, ContentTime="100000"),
        report(StudyInstanceUID=study, ContentTime="110000"),
    ]
    found = latest([examined(part10(ds), wanted(), "") for ds in candidates])
    assert found is not None
    assert found.sop_instance_uid == candidates[2].SOPInstanceUID


def test_the_same_report_is_the_same_bytes_whatever_its_file_meta_said() -> None:
    ds = report()
    once = normalised(part10(ds))
    ds.file_meta.ImplementationVersionName, ds.file_meta.SourceApplicationEntityTitle = "ELSEWHERE", "PACS"
    assert normalised(part10(ds)) == once == normalised(once)


def test_nothing_of_the_patient_shows_in_a_repr() -> None:
    found = examined(part10(report()), wanted(), "")
    # UIDs are drawn anew each time, and any digits may be in them
    assert not any(re.search(r"K4711|Muster|19600229|\b1960\b", repr(of)) for of in (found, wanted()))


def test_a_moment_knows_what_was_before_it() -> None:
    at = Moment("20260505", "080000")
    assert Moment("20260504", "235959").is_before(at)
    assert Moment("20260505", "075959").is_before(at)
    assert not Moment("20260505").is_before(at)
    assert not Moment("20260506").is_before(at)
    header = Dataset()
    assert not Moment.of(header).is_before(at)


def test_of_two_reports_with_the_time_of_the_same_images_the_one_that_revises_the_other_counts() -> None:
    first = report(SoftwareVersions="0.2")
    for number in range(3):  # whatever the UIDs are
        item, series, study = Dataset(), Dataset(), Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = first.SOPClassUID, first.SOPInstanceUID
        series.SeriesInstanceUID, series.ReferencedSOPSequence = first.SeriesInstanceUID, [item]
        study.StudyInstanceUID, study.ReferencedSeriesSequence = first.StudyInstanceUID, [series]
        second = report(StudyInstanceUID=first.StudyInstanceUID, SoftwareVersions="0.2", InstanceNumber=str(number))
        second.PredecessorDocumentsSequence = [study]
        found = [examined(part10(ds), wanted(), "") for ds in (first, second)]
        assert latest(found) == latest(reversed(found)) == found[1]


def test_of_two_reports_on_one_study_that_of_the_newer_version_counts() -> None:
    older, newer = report(SoftwareVersions=["0.9", "1.9"]), report(SoftwareVersions=["0.10", "1.0"])
    found = [examined(part10(ds), wanted(), "") for ds in (newer, older)]
    assert latest(found) == found[0]
