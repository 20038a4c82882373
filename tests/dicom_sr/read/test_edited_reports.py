"""An edited copy of our report says for each finding whether it was taken over, changed or left out; else nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.uid import generate_uid

from dicom_sr import codes
from dicom_sr.assessment import Answer, Assessment, AssessmentDocument
from dicom_sr.profile import EncodingProfile
from dicom_sr.read.edited_reports import NotAnEdit, edits
from dicom_sr.read.statements import Document, document_in
from dicom_sr.write.encode import encode
from pipelines.example import CREATED
from pipelines.hand_foot_scoring.codes import SVH_ERO
from tests.factories import joint_result, radiograph_study
from tests.workstation import READER, add_code, add_comment, content_of, edited, groups, named, set_number


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("report")
    result = joint_result(radiograph_study(folder / "in"))
    sites = ("MCP2", "MCP3", "MCP4")
    result = replace(result, findings=tuple(replace(result.findings[0], tracking_id=f"SvH L {site}") for site in sites))
    objects = encode(result, EncodingProfile(kinds=("report",)), CREATED, folder / "out")
    return pydicom.dcmread(objects[0].path)


def read(ds: Dataset) -> Document:
    return document_in(content_of(ds), ())


def said(report: Dataset, copy: Dataset, *, succeeds: bool = True) -> AssessmentDocument:
    return edits(read(report), read(copy), succeeds=succeeds)


def answers(document: AssessmentDocument) -> dict[str, Answer]:
    return {one.tracking_id: one.answer for one in document.assessments}


def change_one_and_remove_one(copy: Dataset) -> None:
    first, _, last = groups(copy)
    set_number(first, SVH_ERO.value, "4")
    add_comment(first, "A new erosion")
    named(copy, "126010")[0].ContentSequence.remove(last)


def test_what_is_the_same_is_accepted_another_value_is_a_change_and_what_a_successor_lacks_is_rejected(
    report: Dataset,
) -> None:
    document = said(report, edited(report, change_one_and_remove_one))
    assert answers(document) == {
        "SvH L MCP2": Answer.MODIFY,
        "SvH L MCP3": Answer.ACCEPT,
        "SvH L MCP4": Answer.REJECT,
    }
    modified, _, removed = document.assessments
    (change,) = modified.changes
    assert (change.name, change.before, change.after) == (SVH_ERO, 2.4, 4.0)
    assert change.unit == codes.score_range(5)
    assert modified.comment == "A new erosion"
    assert modified.object_uids == (report.SOPInstanceUID,)
    assert removed.reason == codes.LEFT_OUT
    assert (document.person, document.device) == (READER, "ACME Viewer")
    assert document.observed is not None
    assert document.observed.utctimetuple()[3:6] == (10, 15, 30)


def test_a_copy_that_is_no_successor_says_nothing_of_what_it_lacks(report: Dataset) -> None:
    document = said(report, edited(report, change_one_and_remove_one, succeeds=False), succeeds=False)
    assert answers(document) == {"SvH L MCP2": Answer.MODIFY, "SvH L MCP3": Answer.ACCEPT}


def drop_the_uncertainty(copy: Dataset) -> None:
    for group in groups(copy):
        group.ContentSequence = [item for item in group.ContentSequence if item not in named(group, "SVH-ERO-SD")]


def another_finding(copy: Dataset) -> None:
    named(groups(copy)[0], "121071")[0].ConceptCodeSequence[0].CodeValue = "SVH-OTHER"


def another_side(copy: Dataset) -> None:
    (site,) = named(groups(copy)[0], "363698007")
    named(site, "272741003")[0].ConceptCodeSequence[0].CodeValue = codes.RIGHT.value


def no_finding(copy: Dataset) -> None:
    group = groups(copy)[0]
    group.ContentSequence = [item for item in group.ContentSequence if item not in named(group, "121071")]


def no_site(copy: Dataset) -> None:
    group = groups(copy)[0]
    group.ContentSequence = [item for item in group.ContentSequence if item not in named(group, "363698007")]


def one_more_statement(copy: Dataset) -> None:
    add_code(groups(copy)[0], codes.WHY, codes.WHY_QUALITY)


def other_unit(copy: Dataset) -> None:
    (number,) = named(groups(copy)[0], SVH_ERO.value)
    number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "mm"


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (drop_the_uncertainty, []),
        (another_finding, [standard.DCM.Finding]),
        (another_side, [standard.SCT.Laterality]),
        (no_finding, [standard.DCM.Finding]),
        (no_site, [standard.SCT.FindingSite, standard.SCT.Laterality]),
        (one_more_statement, [codes.WHY]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_counts_as_a_change(report: Dataset, change: Callable[[Dataset], None], changed: list[object]) -> None:
    first: Assessment = said(report, edited(report, change)).assessments[0]
    assert [one.name for one in first.changes] == changed
    assert first.answer is (Answer.MODIFY if changed else Answer.ACCEPT)


def test_a_number_in_another_unit_is_left_alone_and_the_other_findings_count(report: Dataset) -> None:
    document = said(report, edited(report, other_unit))
    assert set(answers(document)) == {"SvH L MCP3", "SvH L MCP4"}
    assert document.not_understood == ("SvH L MCP2: 99MSKAI:SVH-ERO has another unit",)


def new_tracking_uids(copy: Dataset) -> None:
    """As OHIF saves measurements that it has loaded."""
    for group in groups(copy):
        named(group, "112040")[0].UID = generate_uid()


@pytest.mark.parametrize(
    ("copy", "reason"),
    [
        ({"person": "", "succeeds": False}, "neither our report as its predecessor nor a person"),
        ({"person": ""}, "nothing in it is changed"),
        ({"person": "unknown^unknown"}, "nothing in it is changed"),
        ({"change": new_tracking_uids}, "none of the tracking UIDs of our report"),
    ],
)
def test_a_copy_in_which_nobody_takes_a_stand_says_nothing(
    report: Dataset, copy: dict[str, object], reason: str
) -> None:
    with pytest.raises(NotAnEdit, match=reason):
        said(report, edited(report, **copy), succeeds="succeeds" not in copy)  # type: ignore[arg-type]


def test_a_copy_of_the_form_for_ohif_says_of_each_finding_once(tmp_path: Path) -> None:
    result = joint_result(radiograph_study(tmp_path / "in"))
    profile = EncodingProfile(kinds=("report",), viewer="ohif")
    ours = pydicom.dcmread(encode(result, profile, CREATED, tmp_path / "out")[0].path)
    (arrow, all_groups) = groups(ours)
    assert str(named(arrow, "112040")[0].UID) == str(named(all_groups.ContentSequence[0], "112040")[0].UID)

    def worse(copy: Dataset) -> None:
        set_number(groups(copy)[1].ContentSequence[0], SVH_ERO.value, "4")

    assert answers(said(ours, edited(ours))) == {"SvH L MCP2": Answer.ACCEPT}
    (modified,) = said(ours, edited(ours, worse)).assessments
    assert [(one.before, one.after) for one in modified.changes] == [(2.4, 4.0)]
