"""The form's fields become what the reader says, and what does not fit is told in sentences."""

from __future__ import annotations

import pytest

from dicom_sr import codes
from dicom_sr.assessment import Answer, Change
from dicom_sr.codes import score_range
from node.verdicts.answers import FormMistakes, answers_in, reader_in
from node.verdicts.questions import CodeAsked, FindingAsked, NumberAsked, Questions
from pipelines.hand_foot_scoring.codes import SVH_ERO, SVH_JOINT
from pipelines.joint_classification.codes import CLASS, CLS_HC, CLS_RA

UNIT = score_range(5)
NUMBER = NumberAsked(SVH_ERO, UNIT, 1.9412345678)
CHOICE = CodeAsked(CLASS, CLS_RA, (CLS_HC, CLS_RA))
FINDING = FindingAsked("2.25.7", "SvH R MCP2", SVH_JOINT, None, (NUMBER,), (CHOICE,))
ASKED = Questions("1.2.3", (FINDING, FINDING))
AS_SHOWN = {"value-0-0": "1.94123", "code-0-0": CLS_RA.value, "answer-0": "", "reason-0": "", "whole": ""}


def mistakes(form: dict[str, str]) -> str:
    with pytest.raises(FormMistakes) as found:
        answers_in(form, ASKED)
    return str(found.value)


def test_a_changed_value_says_that_the_finding_is_modified() -> None:
    (said,) = answers_in({**AS_SHOWN, "value-0-0": " 3,5 ", "reason-0": codes.WRONG_VALUE.value}, ASKED)
    assert (said.answer, said.reason, said.tracking_uid) == (Answer.MODIFY, codes.WRONG_VALUE, "2.25.7")
    assert said.changes == (Change(SVH_ERO, NUMBER.value, 3.5, UNIT),)
    (said,) = answers_in({**AS_SHOWN, "code-0-0": CLS_HC.value}, ASKED)
    assert said.changes == (Change(CLASS, CLS_RA, CLS_HC),)


def test_what_stands_as_it_was_shown_is_no_change() -> None:
    (said,) = answers_in({**AS_SHOWN, "value-0-0": "1.941230", "answer-0": "accept"}, ASKED)
    assert (said.answer, said.changes) == (Answer.ACCEPT, ())


def test_the_whole_has_an_answer_a_reason_and_a_comment() -> None:
    form = {**AS_SHOWN, "whole": "reject", "whole-reason": codes.POOR_IMAGES.value, "comment": " Motion.\r\n Again? "}
    (said,) = answers_in(form, ASKED)
    assert (said.answer, said.tracking_uid, said.reason, said.comment) == (
        *(Answer.REJECT, "", codes.POOR_IMAGES),
        "Motion.\nAgain?",
    )


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({}, "Nothing is said yet"),
        ({"value-0-0": "6"}, "Erosion score: what is typed is no number from 0 to 5"),
        ({"value-0-0": "nan"}, "Erosion score: what is typed is no number from 0 to 5"),
        ({"value-0-0": "two"}, "SvH R MCP2, Erosion score: what is typed is no number"),
        ({"value-0-0": ""}, "what is typed is no number"),
        ({"value-0-0": "3", "answer-0": "accept"}, "has a new value, and its answer is another than modified"),
        ({"answer-0": "modify"}, "neither a new value nor a reason"),
        ({"answer-0": "perhaps"}, "none of those on the page"),
        ({"code-0-0": "CLS-XX"}, "none of those on the page"),
        ({"reason-0": codes.NOT_THERE.value}, "has a reason and no answer"),
        ({"reason-0": "WHY", "answer-0": "reject"}, "A reason is none of those on the page"),
        ({"comment": "Hm."}, "needs an answer for the result as a whole"),
        ({"whole": "accept", "answer-0": "reject"}, "accepted as it is, and a finding of it is not"),
        ({"whole": "reject", "comment": "x" * 1001}, "more than 1000 characters"),
    ],
)
def test_what_does_not_fit_is_told(form: dict[str, str], told: str) -> None:
    assert told in mistakes(AS_SHOWN | form)


def test_all_mistakes_are_told_together() -> None:
    found = mistakes({**AS_SHOWN, "value-0-0": "9", "value-1-0": "x"})
    assert found.count("what is typed is no number") == 2


def test_a_reader_needs_a_name_that_a_report_can_hold() -> None:
    assert reader_in({"name": "  Dr.  Jane Roe "}) == "Dr. Jane Roe"
    for name in ("", "   ", "x" * 65, "a\\b", "a=b", "a\x07b"):
        with pytest.raises(FormMistakes) as found:
            reader_in({"name": name})
        assert not name.strip() or name not in str(found.value)
