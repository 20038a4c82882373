from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from dicom_sr import codes
from dicom_sr.errors import EncodingError
from dicom_sr.findings import Evaluation, NotEvaluable, NotRun, Region, Site
from dicom_sr.write.encode import EncodedObject, EncodingProfile
from pipelines.hand_foot_scoring.codes import SVH_JOINT
from pipelines.joint_classification.codes import CLS_RA, CLUSTER
from tests.dicom_sr import validators
from tests.dicom_sr.conftest import Encode
from tests.dicom_sr.every_kind import TEAR
from tests.factories import MODEL, changed, joint_result, knee_result, knee_study, radiograph_study, square


def groups(ds: Dataset) -> list[Dataset]:
    """The measurement groups of a report."""
    measurements = next(i for i in ds.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "126010")
    return list(measurements.ContentSequence)


def named(group: Dataset, value: str) -> list[Dataset]:
    return [i for i in group.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == value]


def numbers(group: Dataset, value: str) -> list[tuple[float, str]]:
    """The numbers of a name, each with its derivation or an empty text."""
    return [numbers_of(item) for item in named(group, value)]


def numbers_of(item: Dataset) -> tuple[float, str]:
    """The number that an item holds, with its derivation or an empty text."""
    derivation = [
        i.ConceptCodeSequence[0].CodeValue
        for i in item.get("ContentSequence", [])
        if i.ConceptNameCodeSequence[0].CodeValue == "121401"
    ]
    return float(item.MeasuredValueSequence[0].NumericValue), "".join(derivation)


def test_a_joint_says_what_where_and_how_sure(tmp_path: Path, encoded: Encode) -> None:
    report, _ = encoded(joint_result(radiograph_study(tmp_path / "in")), "report")["report"]
    assert report.ConceptNameCodeSequence[0].CodeValue == "126000"
    (group,) = groups(report)
    assert numbers(group, "SVH-ERO") == [(2.4, "")]
    assert numbers(group, "SVH-ERO-SD") == [(0.4, "386136009")]
    (site,) = named(group, "363698007")
    assert site.ConceptCodeSequence[0].CodeValue == "125682004"
    children = {
        i.ConceptNameCodeSequence[0].CodeValue: i.ConceptCodeSequence[0].CodeValue for i in site.ContentSequence
    }
    assert children == {"272741003": "7771000", "106233006": "SITE-MCP2"}
    unit = named(group, "SVH-ERO")[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]
    assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("{0:5}", "UCUM")


def test_the_outline_is_the_findings_own(tmp_path: Path, encoded: Encode) -> None:
    study = radiograph_study(tmp_path / "in")
    report, _ = encoded(joint_result(study, (40.0, 30.0)), "report")["report"]
    (region,) = (i for i in groups(report)[0].ContentSequence if i.ValueType == "SCOORD")
    assert region.GraphicType == "POLYLINE"
    np.testing.assert_allclose(np.reshape(region.GraphicData, (-1, 2)), square((40.0, 30.0), 8))
    assert (
        region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        == study.instances[0].sop_instance_uid
    )


def test_a_number_without_a_place_gets_the_border_of_the_derived_slice(tmp_path: Path, encoded: Encode) -> None:
    objects = encoded(knee_result(knee_study(tmp_path / "in", echo_times_ms=(10.0, 40.0))), "derived_series", "report")
    slices = {ds.SOPInstanceUID: ds for ds in objects["derived_series"]}
    for group, echo_time in zip(groups(objects["report"][0]), (10, 40), strict=True):
        (region,) = (i for i in group.ContentSequence if i.ValueType == "SCOORD")
        ds = slices[region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID]
        assert ds.EchoTime == echo_time
        assert np.reshape(region.GraphicData, (-1, 2)).max(0).tolist() == [ds.Columns, ds.Rows]


def test_uncertainty_has_names_of_its_own_and_stands_behind_its_value(tmp_path: Path, encoded: Encode) -> None:
    report, _ = encoded(knee_result(knee_study(tmp_path / "in")), "report")["report"]
    group = groups(report)[0]
    assert numbers(group, "QA-PSNR") == [(41.25, "")]
    at = group.ContentSequence.index(named(group, "QA-PSNR")[0])
    behind = [(i.ConceptNameCodeSequence[0].CodeValue, *numbers_of(i)) for i in group.ContentSequence[at + 1 : at + 4]]
    assert behind == [
        ("VALUE-SD", 0.5, "386136009"),
        ("VALUE-LO", 40.1, "INTERVAL-LO"),
        ("VALUE-HI", 42.3, "INTERVAL-HI"),
    ]


def test_no_two_numbers_of_a_group_have_the_same_name(tmp_path: Path, encoded: Encode) -> None:
    for result in (joint_result(radiograph_study(tmp_path / "1")), knee_result(knee_study(tmp_path / "2"))):
        report, _ = encoded(result, "report")["report"]
        for group in groups(report):
            names = [i.ConceptNameCodeSequence[0].CodeMeaning for i in group.ContentSequence if i.ValueType == "NUM"]
            assert len(names) == len(set(names)) > 1


def test_what_could_not_be_judged_has_a_reason_and_no_number(tmp_path: Path, encoded: Encode) -> None:
    result = joint_result(radiograph_study(tmp_path / "in"))
    assert result.findings[0].region is not None
    missing = NotEvaluable(
        "SvH L MCP3",
        SVH_JOINT,
        codes.private("WHY-IMPLANT"),
        "A joint replacement.",
        Site(codes.FINGER_JOINT, "L"),
        Region(result.findings[0].region.image, square((70, 30), 8)),
    )
    report, _ = encoded(replace(result, not_evaluable=(missing,)), "report")["report"]
    group = groups(report)[1]
    assert not [i for i in group.ContentSequence if i.ValueType == "NUM"]
    assert named(group, "WHY")[0].ConceptCodeSequence[0].CodeValue == "WHY-IMPLANT"
    texts = [i.TextValue for i in report.ContentSequence if i.ValueType == "TEXT"]
    assert any("A joint replacement." in text for text in texts)


def test_every_group_has_a_two_dimensional_outline(tmp_path: Path, encoded: Encode) -> None:
    # OHIF refuses the whole report where one has none
    for result in (joint_result(radiograph_study(tmp_path / "a")), knee_result(knee_study(tmp_path / "b"))):
        for report in encoded(result, "report")["report"]:
            assert all([i.ValueType for i in g.ContentSequence].count("SCOORD") == 1 for g in groups(report))


def test_the_library_and_the_evidence_name_every_image(tmp_path: Path, encoded: Encode) -> None:
    study = knee_study(tmp_path / "in")
    objects = encoded(knee_result(study), "derived_series", "report")
    everything = {i.sop_instance_uid for i in study.instances} | {ds.SOPInstanceUID for ds in objects["derived_series"]}
    report = objects["report"][0]
    evidence = {
        item.ReferencedSOPInstanceUID
        for one in report.CurrentRequestedProcedureEvidenceSequence
        for series in one.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    library = next(i for i in report.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "111028")
    images = [i for group in library.ContentSequence for i in group.ContentSequence if i.ValueType == "IMAGE"]
    assert evidence == everything == {i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in images}


def test_a_machine_never_verifies(tmp_path: Path, encoded: Encode) -> None:
    report, _ = encoded(joint_result(radiograph_study(tmp_path / "in")), "report")["report"]
    flags = (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag)
    assert flags == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")


def test_the_twin_has_the_same_tree_and_another_identity(tmp_path: Path, encoded: Encode) -> None:
    new, old = encoded(joint_result(radiograph_study(tmp_path / "in")), "report")["report"]
    assert (new.SOPClassUID.name, old.SOPClassUID.name) == ("Comprehensive 3D SR Storage", "Comprehensive SR Storage")
    assert new.ContentSequence == old.ContentSequence
    assert new.SOPInstanceUID != old.SOPInstanceUID


def test_a_profile_may_ask_for_the_older_class_alone(tmp_path: Path, encoded: Encode) -> None:
    profile = EncodingProfile(kinds=("report",), measurement_report="comprehensive")
    (report,) = encoded(joint_result(radiograph_study(tmp_path / "in")), profile=profile)["report"]
    assert report.SOPClassUID.name == "Comprehensive SR Storage"


def test_a_site_with_a_licence_gets_snomed_codes(tmp_path: Path, encoded: Encode) -> None:
    result = joint_result(radiograph_study(tmp_path / "in"))
    classified = replace(result.findings[0], evaluations=(Evaluation(CLUSTER, CLS_RA),))
    result = replace(result, findings=(classified,))
    for licence, expected in ((False, ("CLS-RA", "99MSKAI")), (True, ("69896004", "SCT"))):
        profile = EncodingProfile(kinds=("report",), snomed_licence=licence)
        value = named(groups(encoded(result, profile=profile)["report"][0])[0], "CLUSTER")[0].ConceptCodeSequence[0]
        assert (value.CodeValue, value.CodingSchemeDesignator) == expected


@pytest.mark.validators
def test_a_report_names_a_scheme_of_somebody_elses(tmp_path: Path, encoded: Encode) -> None:
    result = joint_result(radiograph_study(tmp_path / "in"))
    for ds in encoded(replace(result, findings=(replace(result.findings[0], finding=TEAR),)), "report")["report"]:
        own, theirs = ds.CodingSchemeIdentificationSequence
        assert (own.CodingSchemeDesignator, own.CodingSchemeUID) == (codes.CONDYLE.designator, codes.CONDYLE.uid)
        assert (theirs.CodingSchemeDesignator, theirs.CodingSchemeUID) == ("99ACME", "2.25.271828")
        assert (theirs.CodingSchemeName, theirs.CodingSchemeVersion) == ("Acme shoulder findings", "3")
        finding = named(groups(ds)[0], "121071")[0].ConceptCodeSequence[0]
        assert (finding.CodeValue, finding.CodingSchemeDesignator) == ("TEAR", "99ACME")
    for path in sorted((tmp_path / "objects").glob("report*.dcm")):
        assert validators.dciodvfy(path)[0] == []


def test_a_code_of_a_scheme_that_nobody_registered_is_not_sent(tmp_path: Path, encoded: Encode) -> None:
    result = joint_result(radiograph_study(tmp_path / "in"))
    unknown = replace(result.findings[0], finding=Code("TEAR", "99NOBODY", "Tendon tear"))
    with pytest.raises(EncodingError, match="private coding scheme 99NOBODY of code TEAR is not known"):
        encoded(replace(result, findings=(unknown,)), "report")


def test_a_revised_report_names_the_one_it_replaces(tmp_path: Path, encoded: Encode) -> None:
    before = EncodedObject("1.2.840.10008.5.1.4.1.1.88.34", "1.2.3", "1.2.4", "1.2.5", tmp_path, "report", 4, "", 0)
    capture = replace(before, kind="secondary_capture", sop_instance_uid="1.2.9")
    result = joint_result(radiograph_study(tmp_path / "in"))
    report, _ = encoded(result, "report", predecessors=(before, capture))["report"]
    (study,) = report.PredecessorDocumentsSequence
    assert study.StudyInstanceUID == "1.2.5"
    (series,) = study.ReferencedSeriesSequence
    assert [i.ReferencedSOPInstanceUID for i in series.ReferencedSOPSequence] == ["1.2.3"]


def test_a_pipeline_that_did_not_run_says_why(tmp_path: Path, encoded: Encode) -> None:
    study = knee_study(tmp_path / "in")
    result = NotRun(MODEL, "Knee MR super-resolution", study.series, "a slice is missing after slice 3")
    profile = EncodingProfile(not_run_reports=True)
    objects = encoded(result, profile=profile)
    assert sorted(objects) == ["report", "secondary_capture"]
    texts = [i.TextValue for i in objects["report"][0].ContentSequence if i.ValueType == "TEXT"]
    assert "Analysis not performed: a slice is missing after slice 3" in texts
    finding = named(groups(objects["report"][0])[0], "121071")[0].ConceptCodeSequence[0]
    assert finding.CodeValue == "NOT-RUN"


@pytest.mark.validators
def test_a_result_that_finds_nothing_is_reported(tmp_path: Path, encoded: Encode) -> None:
    result = replace(joint_result(radiograph_study(tmp_path / "in")), findings=(), conclusion=("0 boxes.",))
    report, twin = encoded(result, "report")["report"]
    for ds in (report, twin):
        (group,) = groups(ds)
        assert named(group, "121071")[0].ConceptCodeSequence[0].CodeValue == "NO-FINDING"
        assert "0 boxes." in [i.TextValue for i in ds.ContentSequence if i.ValueType == "TEXT"]
    path = tmp_path / "objects" / "report.dcm"
    assert validators.dciodvfy(path)[0] == []
    assert validators.pixelmed([path])[path][0] == []


@pytest.mark.parametrize("index", [0, 1])
def test_highdicom_reads_the_groups_back(tmp_path: Path, encoded: Encode, index: int) -> None:
    encoded(joint_result(radiograph_study(tmp_path / "in")), "report")
    path = sorted((tmp_path / "objects").glob("report*.dcm"))[index]
    content = hd.sr.srread(path).content
    assert isinstance(content, hd.sr.MeasurementReport)
    (group,) = content.get_planar_roi_measurement_groups(tracking_uid=None)
    assert group.tracking_identifier == "SvH L MCP2"
    assert [m.value for m in group.get_measurements()] == [2.4, 0.4]


def test_of_a_series_without_pixels_a_missing_result_is_reported(tmp_path: Path, encoded: Encode) -> None:
    def state(_: int, ds: Dataset) -> Dataset:
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = GrayscaleSoftcopyPresentationStateStorage
        for keyword in ("Rows", "Columns", "PixelData", "ImagePositionPatient", "ImageOrientationPatient"):
            del ds[keyword]
        return ds

    series = changed(knee_study(tmp_path / "in"), state).series
    profile = EncodingProfile(not_run_reports=True)
    objects = encoded(NotRun(MODEL, "Knee", series, "the series holds no images"), profile=profile)
    assert set(objects) == {"report", "secondary_capture"}
