"""The form of a report for OHIF: what it shows stands on top, and nothing of the report is lost below."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_sr import codes
from dicom_sr.findings import Evaluation, Finding, Measurement, NotEvaluable, Result
from dicom_sr.profile import EncodedObject
from dicom_sr.series import Instance
from dicom_sr.write.encode import EncodingProfile, encode
from dicom_sr.write.ohif import label_of
from pipelines.example import CREATED, Example
from pipelines.hand_foot_scoring import prior
from pipelines.hand_foot_scoring.codes import SVH_JOINT
from pipelines.hand_foot_scoring.example import example as hand_foot_example
from tests.dicom_sr import every_kind
from tests.dicom_sr.write.test_report import groups, named

PLAIN = EncodingProfile(segmented_regions="outline")
OHIF = replace(PLAIN, viewer="ohif", segmented_regions="segment")


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return hand_foot_example(tmp_path_factory.mktemp("hands"))


def written(example: Example, profile: EncodingProfile, folder: Path) -> tuple[EncodedObject, ...]:
    return encode(example.result, profile, CREATED, folder)


def report_of(objects: tuple[EncodedObject, ...]) -> Path:
    return next(one.path for one in objects if one.kind == "report" and one.twin_of is None)


@pytest.fixture(scope="module")
def both(hands: Example, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The plain report of both hands and feet, and the one for OHIF."""
    only = {"kinds": ("report",)}
    plain, ohif = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("ohif")
    return (
        report_of(written(hands, replace(PLAIN, **only), plain)),  # type: ignore[arg-type]
        report_of(written(hands, replace(OHIF, **only), ohif)),  # type: ignore[arg-type]
    )


def text(group: Dataset, value: str) -> str:
    return str(named(group, value)[0].TextValue)


def test_each_finding_has_one_arrow_with_its_short_label_and_no_number_beside_it(both: tuple[Path, Path]) -> None:
    plain, ohif = (groups(pydicom.dcmread(path)) for path in both)
    shown = ohif[:-1]
    assert len(shown) == len(plain) == 62
    assert [i.ValueType for group in shown for i in group.ContentSequence if i.ValueType == "NUM"] == []
    tool = "Cornerstone3DTools@^0.1.0:ArrowAnnotate:"
    assert [text(group, "112039").removeprefix(tool) for group in shown] == [text(group, "112039") for group in plain]
    assert all(text(group, "112039").startswith(tool) for group in shown)
    labels = {text(group, "121106") for group in shown}
    assert {"MCP2 E1 J2", "R hand E13 J7", "SvH total 56 (37 to 74), partial", "SvH change +19", "CMC5 n/e"} <= labels
    assert max(map(len, labels)) <= 40


def test_the_groups_of_the_plain_report_follow_unchanged(both: tuple[Path, Path]) -> None:
    plain, ohif = (groups(pydicom.dcmread(path)) for path in both)
    below = ohif[-1]
    assert below.ConceptNameCodeSequence[0].CodeValue == "121070"
    assert list(below.ContentSequence) == plain


def test_a_label_has_the_tracking_uid_of_its_finding_and_lies_on_its_image(both: tuple[Path, Path]) -> None:
    plain, ohif = (groups(pydicom.dcmread(path)) for path in both)
    for group, shown in zip(plain, ohif[:-1], strict=True):
        assert named(group, "112040")[0].UID == named(shown, "112040")[0].UID
        line, place = (i for i in shown.ContentSequence if i.ValueType == "SCOORD")
        region = next(i for i in group.ContentSequence if i.ValueType == "SCOORD")
        assert line.ContentSequence == place.ContentSequence == region.ContentSequence
        assert place.ConceptNameCodeSequence[0].CodingSchemeDesignator == "99CS3D"


def test_both_reports_are_read_as_the_same_prior(both: tuple[Path, Path]) -> None:
    read = []
    for path in both:
        ds = pydicom.dcmread(path)
        read.append(list(prior.sites(Instance(str(ds.SOPInstanceUID), str(ds.SOPClassUID), path))))
    assert read[0] == read[1]
    assert len(read[0]) > 50


def test_it_is_a_report_of_its_own_and_highdicom_reads_it(both: tuple[Path, Path]) -> None:
    plain, ohif = (pydicom.dcmread(path, stop_before_pixels=True) for path in both)
    assert plain.SOPInstanceUID != ohif.SOPInstanceUID
    assert plain.SeriesInstanceUID != ohif.SeriesInstanceUID
    assert isinstance(hd.sr.srread(both[1]), hd.sr.Comprehensive3DSR)


def test_what_ohif_does_not_open_is_left_out_by_what_it_is(hands: Example, tmp_path: Path) -> None:
    radiographs = {one.kind for one in written(hands, OHIF, tmp_path / "hands")}
    assert radiographs == {"secondary_capture", "report"}
    knee = every_kind.every_kind(tmp_path / "knee", (6, 64, 64))
    assert {one.kind for one in written(knee, OHIF, tmp_path / "out")} == {
        *("derived_series", "secondary_capture", "segmentation_binary", "parametric_map", "report")
    }


def test_a_finding_of_a_segment_gets_an_outline(tmp_path: Path) -> None:
    knee = every_kind.every_kind(tmp_path / "knee", (6, 64, 64))
    assert isinstance(knee.result, Result)
    about = replace(knee.result.findings[0], tracking_id=knee.result.segments[0].label)
    result = replace(knee.result, findings=(about,))
    report = pydicom.dcmread(report_of(encode(result, OHIF, CREATED, tmp_path / "out")))
    shown, below = groups(report)
    for group in (shown, *below.ContentSequence):
        assert "SCOORD" in [item.ValueType for item in group.ContentSequence]


@pytest.mark.parametrize(
    ("found", "label"),
    [
        (Finding("T", SVH_JOINT, summary="said"), "said"),
        (Finding("T", SVH_JOINT, image_label="on the image"), "on the image"),
        (Finding("T", SVH_JOINT, measurements=(Measurement(SVH_JOINT, 12.345, codes.MILLIMETRE),)), "T 12.3 mm"),
        (Finding("T", SVH_JOINT, measurements=(Measurement(SVH_JOINT, 0.5, codes.NO_UNITS),)), "T 0.5"),
        (Finding("T", SVH_JOINT, evaluations=(Evaluation(SVH_JOINT, codes.NOT_EVALUABLE),)), "T Not evaluable"),
        (Finding("T" * 60, SVH_JOINT), "T" * 39 + "…"),
        (NotEvaluable("T", SVH_JOINT, codes.WHY, "It is dark."), "T n/e"),
    ],
)
def test_a_finding_that_has_no_short_text_is_given_one(found: Finding | NotEvaluable, label: str) -> None:
    assert label_of(found) == label
