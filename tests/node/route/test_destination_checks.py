"""What `condyle check` says of the conditions of a route's destinations."""

from __future__ import annotations

from typing import Any

import pytest

from node.config import Configuration
from node.route.checks import routes


def found(*destinations: object, **profile: object) -> list[tuple[str, str, str]]:
    configuration = Configuration.model_validate(
        {
            "destinations": {"out": {"kind": "folder", "path": "out", "profile": profile}},
            "routes": {
                "hands": {
                    "when": {"Modality": "DX"},
                    "level": "study",
                    "pipeline": "hand_foot_scoring",
                    "destinations": list(destinations),
                }
            },
        }
    )
    return [(one.key, one.state, one.sentence) for one in routes(configuration)]


def test_a_condition_that_can_be_meant_so_is_good() -> None:
    (only,) = found({"to": "out", "when": {"measurement.SVH-TOTAL": {"min": 50}}})
    assert only == ("routes.hands", "good", "study -> hand_foot_scoring -> out (some)")


@pytest.mark.parametrize(
    ("when", "key", "state", "told"),
    [
        ({"state": "over"}, ".state", "bad", "no job ends so"),
        ({"Modality": "DX"}, ".Modality", "bad", "cannot be asked of a result"),
        ({"finding.SVH-SUMM": {"present": True}}, ".finding.SVH-SUMM", "doubtful", "did you mean 'SVH-SUM'?"),
        ({"measurement.99MSKAI:X": {"min": 1}}, ".measurement.99MSKAI:X", "doubtful", "no pipeline states this code"),
        ({"state": "unsuitable"}, "", "doubtful", "nothing of unsuitable jobs goes to out without not_run_reports"),
    ],
)
def test_a_condition_that_cannot_be_meant_so_is_told(when: dict[str, Any], key: str, state: str, told: str) -> None:
    matching = [one for one in found({"to": "out", "when": when}) if one[0] == f"routes.hands.destinations.0.when{key}"]
    assert [(one[1], told in one[2]) for one in matching] == [(state, True)]


def test_what_may_be_right_is_not_doubted() -> None:
    when = {"any_of": [{"state": "unsuitable"}, {"measurement.DCM:113060": {"min": 1}}]}
    assert [one[1] for one in found({"to": "out", "when": when}, not_run_reports=True)] == ["good"]
