"""What can be asked of a result: which clauses hold, what is said of one that cannot be meant so, and the trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.errors import ConfigurationError
from node.matching.result import RESULT, codes_asked, may_hold, read_summary, result_facts, why
from node.run.result_summary import summary
from tests.factories import joint_result, ultrasound_study

SUMMARY: dict[str, Any] = {
    "findings": {
        "SvH R MCP5": {
            "finding": "99MSKAI:SVH-JOINT",
            "measurements": {"99MSKAI:SVH-ERO": {"value": 3.2, "unit": "1", "interval": None}},
            "evaluations": {"99MSKAI:SVH-COURSE": "99MSKAI:SVH-WORSE"},
        },
        "SvH total": {
            "finding": "99MSKAI:SVH-SUM",
            "measurements": {"99MSKAI:SVH-TOTAL": {"value": 55.6, "unit": "1", "interval": None}},
            "evaluations": {},
        },
    },
    "not_evaluable": {"SvH L CMC5": "99MSKAI:WHY-OVERLAP"},
    "names": {"99MSKAI:SVH-WORSE": "Worse than before"},
}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"finding.SVH-SUM": {"present": True}}, True),
        ({"finding.99MSKAI:SVH-SUM": {"present": True}}, True),
        ({"finding.DCM:SVH-SUM": {"present": True}}, False),
        ({"finding.SVH-NONE": {"absent": True}}, True),
        ({"finding.SVH-COURSE": "SVH-WORSE"}, True),
        ({"finding.SVH-COURSE": "worse*"}, True),
        ({"finding.SVH-COURSE": {"not": "SVH-WORSE"}}, False),
        ({"measurement.SVH-TOTAL": {"min": 50}}, True),
        ({"measurement.SVH-TOTAL": {"min": 56}}, False),
        ({"measurement.99MSKAI:SVH-ERO": {"min": 3, "max": 3.5}}, True),
        ({"measurement.SVH-SUM": {"present": True}}, False),
        ({"findings": 2, "not_evaluable": {"min": 1}}, True),
        ({"state": "done"}, True),
        ({"state": ["unsuitable", "failed"]}, False),
        ({"any_of": [{"state": "failed"}, {"measurement.SVH-TOTAL": {"min": 1}}]}, True),
        ({"not": {"finding.SVH-SUM": {"present": True}}}, False),
    ],
)
def test_a_clause_holds_of_what_it_describes(when: dict[str, Any], expected: bool) -> None:
    assert RESULT.matcher(when, "when").trace(result_facts("done", SUMMARY)).holds is expected


def test_a_real_result_is_asked_by_its_codes(tmp_path: Path) -> None:
    facts = result_facts("done", summary(joint_result(ultrasound_study(tmp_path))))
    matcher = RESULT.matcher({"finding.SVH-JOINT": {"present": True}, "measurement.SVH-ERO": {"min": 2}}, "when")
    assert matcher.trace(facts).holds


def test_of_a_job_without_a_result_only_the_state_is_known() -> None:
    matcher = RESULT.matcher({"state": "unsuitable"}, "when")
    assert (may_hold(matcher, "unsuitable"), may_hold(matcher, "failed")) == (True, False)
    assert not may_hold(RESULT.matcher({"findings": {"min": 0}}, "when"), "failed")


def test_a_trace_says_in_one_line_why() -> None:
    when = {"state": "done", "measurement.SVH-TOTAL": {"min": 60}, "finding.SVH-COURSE": "SVH-WORSE"}
    trace = RESULT.matcher(when, "when").trace(result_facts("done", SUMMARY))
    assert why(trace) == "measurement.SVH-TOTAL: found 55.6, expected at least 60"
    held = RESULT.matcher({"finding.SVH-COURSE": {"present": True}}, "when").trace(result_facts("done", SUMMARY))
    assert why(held) == "finding.SVH-COURSE: found SVH-WORSE, Worse than before, expected present"


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ({"state": "finished"}, r"when.state: 'finished': no job ends so; should be one of done, unsuitable, failed"),
        ({"measurement.X": "many"}, r"when.measurement.X: 'many': should be a number"),
        ({"measurement.": {"min": 1}}, r"when.measurement.: should end with a code"),
        ({"finding.A B": {"present": True}}, r"when.finding.A B: should end with a code"),
        ({"Modality": "MR"}, r"when.Modality: cannot be asked of a result; .* stands in the `when` of the route"),
        ({"stat": "done"}, r"when.stat: cannot be asked .*did you mean 'state'"),
        ({"any_of": {"state": "done"}}, r"when.any_of: .*such as \[\{state: unsuitable\}, ...\]"),
        ({"finding.X": {"presnt": True}}, r"when.finding.X.presnt: True: is not a test"),
    ],
)
def test_a_mistake_is_told_with_its_key(when: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        RESULT.matcher(when, "when")
    ((key, _),) = RESULT.problems(when, "when")
    assert key.startswith("when.")


def test_the_codes_that_are_asked_for_are_known() -> None:
    when = {"state": "done", "any_of": [{"finding.A": {"present": True}}, {"not": {"measurement.B": 1}}]}
    assert list(codes_asked(RESULT.matcher(when, "when"))) == ["finding.A", "measurement.B"]


@pytest.mark.parametrize(
    "broken",
    [
        {"findings": [1], "names": 3},
        {"findings": {"a": "b", "c": {"measurements": {"X": {"value": "many"}}, "evaluations": []}}},
        {"findings": {"a": {"finding": 3, "measurements": {"X": {"value": True}}}}},
    ],
)
def test_a_summary_that_is_none_answers_nothing(broken: dict[str, Any]) -> None:
    assert not RESULT.matcher({"measurement.X": {"present": True}}, "when").trace(result_facts("done", broken)).holds


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"[" * 100_000, b"\xff"])
def test_what_is_no_summary_is_told_so(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_summary(content)
