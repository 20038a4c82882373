"""Findings of the example: a group for each scored site, sums that add up, and a reason for each site not scored."""

from __future__ import annotations

import pytest

from dicom_sr.findings import Finding, Result
from pipelines.hand_foot_scoring import codes


def value(finding: Finding, code: object) -> float:
    return next(m.value for m in finding.measurements if m.name == code)


def test_every_site_is_either_scored_or_has_a_reason(example_result: Result) -> None:
    scored = {f.tracking_id for f in example_result.findings if f.finding == codes.SVH_JOINT}
    missing = {n.tracking_id: n.sentence for n in example_result.not_evaluable}
    assert missing == {
        "SvH L CMC5": "A cast, ring or other object covers the joint.",
        "SvH L MTP5": "The joint lies outside the picture.",
    }
    assert len(scored) + len(missing) == 2 * 22 + 2 * 6
    assert not scored & missing.keys()


def test_the_total_is_the_sum_of_the_limbs(example_result: Result) -> None:
    by_id = {f.tracking_id: f for f in example_result.findings}
    limbs = [by_id[f"SvH {side} {part} sum"] for side in "RL" for part in ("hand", "foot")]
    erosion = sum(value(limb, codes.SVH_ERO_LIMB) for limb in limbs)
    narrowing = sum(value(limb, codes.SVH_JSN_LIMB) for limb in limbs)
    # each sum is rounded to a tenth
    assert value(by_id["SvH total"], codes.SVH_ERO_TOTAL) == pytest.approx(erosion, abs=0.25)
    assert value(by_id["SvH total"], codes.SVH_TOTAL) == pytest.approx(erosion + narrowing, abs=0.45)


def test_the_change_is_that_of_erosion_and_narrowing_together(example_result: Result) -> None:
    change = next(f for f in example_result.findings if f.tracking_id == "SvH change")
    parts = value(change, codes.SVH_ERO_DELTA) + value(change, codes.SVH_JSN_DELTA)
    assert value(change, codes.SVH_DELTA) == pytest.approx(parts, abs=0.15)
    assert value(change, codes.SVH_DELTA) > 5
    assert [e.value for e in change.evaluations] == [codes.SVH_CHANGED]
