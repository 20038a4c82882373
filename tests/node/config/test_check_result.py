"""Verdicts on keys."""

from __future__ import annotations

from node.config.check_result import CheckResult, one_for_each_key


def test_a_key_has_one_verdict_the_worst_that_was_found() -> None:
    good, doubtful, bad = (CheckResult("a", state, state) for state in ("good", "doubtful", "bad"))
    other = CheckResult("b", "good", "fine")
    assert one_for_each_key([good, other, bad, doubtful, bad]) == [bad, other]
    assert one_for_each_key([bad, good]) == [bad]


def test_what_was_found_alike_is_in_one_sentence() -> None:
    found = [CheckResult("a", "bad", "no port"), CheckResult("a", "bad", "no host"), CheckResult("a", "bad", "no port")]
    assert one_for_each_key(found) == [CheckResult("a", "bad", "no port; no host")]
