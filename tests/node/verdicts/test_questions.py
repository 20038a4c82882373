"""What the page asks: the values of each finding, and no uncertainty beside them."""

from __future__ import annotations

from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.codes import score_range
from dicom_sr.read.statements import Document, Group, Number
from node.verdicts.questions import questions
from pipelines.hand_foot_scoring.codes import SVH_ERO, SVH_JOINT
from pipelines.joint_classification.codes import CLASS, CLS_HC, CLS_PSA, CLS_RA

UNIT = score_range(5)
SPREAD = codes.spread_of(SVH_ERO)
GROUP = Group(
    "2.25.7",
    "SvH R MCP2",
    SVH_JOINT,
    codes.FINGER_JOINT,
    (Number(SVH_ERO, 1.9412345678, UNIT), Number(SPREAD, 0.4, UNIT)),
    ((CLASS, CLS_RA), (codes.NOT_EVALUABLE, SVH_ERO)),
)
STATED = {
    "findings": {
        "SvH R MCP2": {
            "measurements": {f"99MSKAI:{SVH_ERO.value}": {"value": 1.94, "unit": "{0:5}"}},
            "evaluations": {f"99MSKAI:{CLASS.value}": f"99MSKAI:{CLS_RA.value}"},
        }
    }
}


def document(*groups: Group) -> Document:
    return Document("1.2.3", "1.2", groups, (), ())


def test_a_number_is_asked_with_its_scale_and_its_uncertainty_is_not() -> None:
    asked = questions(document(GROUP), STATED)
    (finding,) = asked.findings
    (number,) = finding.numbers
    assert (asked.report_uid, finding.tracking_uid, finding.tracking_id) == ("1.2.3", "2.25.7", "SvH R MCP2")
    assert (number.name, number.shown, number.highest, number.unit_shown) == (SVH_ERO, "1.94123", 5.0, "of 5")


def test_a_class_is_asked_with_all_classes_of_its_kind() -> None:
    (finding,) = questions(document(GROUP), STATED).findings
    (asked,) = finding.codes
    assert (asked.name, asked.value) == (CLASS, CLS_RA)
    assert set(asked.choices) == {CLS_HC, CLS_PSA, CLS_RA}
    assert finding.told == f"{codes.NOT_EVALUABLE.meaning}: {SVH_ERO.meaning}"


def test_without_a_summary_only_answers_are_asked_and_what_is_no_finding_is_not() -> None:
    (finding,) = questions(document(GROUP, Group(finding=Code("1", "99X", "Something"))), {}).findings
    assert (finding.numbers, finding.codes) == ((), ())


def test_a_finding_that_the_form_for_ohif_shows_and_holds_is_asked_once_with_its_values() -> None:
    shown = Group("2.25.7", "Cornerstone3DTools@^0.1.0:ArrowAnnotate:SvH R MCP2", SVH_JOINT)
    (finding,) = questions(document(shown, GROUP), STATED).findings
    assert (finding.tracking_id, [number.name for number in finding.numbers]) == ("SvH R MCP2", [SVH_ERO])
