from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.dicom_sr import validators
from tests.dicom_sr.conftest import Encode
from tests.factories import changed, knee_result, knee_study

KINDS = ("derived_series", "secondary_capture", "parametric_map", "report")


def request(procedure: str, accession: str | None = "A1") -> Dataset:
    item, step = Dataset(), Dataset()
    item.RequestedProcedureID, item.RequestedProcedureDescription = procedure, "MR knee"
    if accession is not None:
        item.AccessionNumber = accession
    step.CodeValue, step.CodingSchemeDesignator, step.CodeMeaning = "P1", "99X", "Protocol"
    item.ScheduledProcedureStepID, item.ScheduledProtocolCodeSequence = "S1", [step]
    item.PlacerOrderNumberImagingServiceRequest = "PL1"
    return item


def test_the_order_of_the_images_is_the_results(tmp_path: Path, encoded: Encode) -> None:
    def ordered(_: int, ds: Dataset) -> Dataset:
        ds.AccessionNumber, ds.RequestAttributesSequence = "A1", [request("R1")]
        ds.FillerOrderNumberImagingServiceRequest = "F1"
        return ds

    objects = encoded(knee_result(changed(knee_study(tmp_path / "in"), ordered)), *KINDS)
    for kind in KINDS[:3]:
        for ds in objects[kind]:
            (item,) = ds.RequestAttributesSequence
            assert (item.RequestedProcedureID, item.AccessionNumber) == ("R1", "A1")
            assert "ScheduledProcedureStepID" not in item  # that was the scanner's step
    for report in objects["report"]:
        (item,) = report.ReferencedRequestSequence
        assert (item.RequestedProcedureID, item.AccessionNumber) == ("R1", "A1")
        assert (item.PlacerOrderNumberImagingServiceRequest, item.FillerOrderNumberImagingServiceRequest) == (
            "PL1",
            "F1",
        )
        assert item.StudyInstanceUID == report.StudyInstanceUID
        assert "RequestAttributesSequence" not in report


@pytest.mark.validators
def test_objects_with_an_order_are_valid(tmp_path: Path, encoded: Encode) -> None:
    def ordered(_: int, ds: Dataset) -> Dataset:
        ds.AccessionNumber, ds.RequestAttributesSequence = "A1", [request("R1")]
        return ds

    encoded(knee_result(changed(knee_study(tmp_path / "in"), ordered)), *KINDS)
    for path in [*sorted((tmp_path / "objects").glob("*-1*.dcm")), tmp_path / "objects" / "report.dcm"]:
        assert validators.dciodvfy(path) == ([], []), path.name


@pytest.mark.parametrize("others", ["R2", ""])
def test_images_of_several_orders_name_none(tmp_path: Path, encoded: Encode, others: str) -> None:
    def ordered(index: int, ds: Dataset) -> Dataset:
        ds.AccessionNumber = "A1"
        ds.RequestAttributesSequence = [request(others if index else "R1")]
        return ds

    objects = encoded(knee_result(changed(knee_study(tmp_path / "in"), ordered)), *KINDS)
    assert not [ds for group in objects.values() for ds in group if "RequestAttributesSequence" in ds]
    assert not [ds for ds in objects["report"] if "ReferencedRequestSequence" in ds]


def test_an_order_of_another_study_is_not_the_results(tmp_path: Path, encoded: Encode) -> None:
    def ordered(_: int, ds: Dataset) -> Dataset:
        ds.AccessionNumber, ds.RequestAttributesSequence = "A1", [request("R9", "A9"), request("R1", None)]
        return ds

    for report in encoded(knee_result(changed(knee_study(tmp_path / "in"), ordered)), "report")["report"]:
        assert [item.RequestedProcedureID for item in report.ReferencedRequestSequence] == ["R1"]
