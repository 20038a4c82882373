"""The `when` of a rule about results can mean what it says."""

from __future__ import annotations

from typing import Any

from node.alerts.checks import rules
from node.config import Configuration
from pipelines.registry import pipeline_type


def found(when: dict[str, Any]) -> list[tuple[str, str, str]]:
    rule = {"kind": "result", "when": when}
    other = {"kind": "destination_down"}
    settings = Configuration.model_validate({"alerts": {"rules": {"it": rule, "other": other}}})
    return [(one.key, one.state, one.sentence) for one in rules(settings)]


def test_a_key_that_no_result_has_and_a_code_that_none_states() -> None:
    pipeline_type("joint_classification")  # brings its codes, as the check of a route to it does
    assert found({"finding.CLS-RA": {"present": True}, "state": "done"}) == []
    ((key, state, sentence),) = found({"Modality": "MR"})
    assert (key, state) == ("alerts.rules.it.when.Modality", "bad")
    assert "cannot be asked of a result" in sentence
    ((key, state, sentence),) = found({"finding.CLS-RRA": {"present": True}})
    assert (key, state) == ("alerts.rules.it.when.finding.CLS-RRA", "doubtful")
    assert "CLS-RA" in sentence
