"""Conditions on the values of one element; routes, which use them all, are tested in tests/node/route/test_match.py."""

from __future__ import annotations

from typing import Any

import pytest

from dicom_sr.read.conditions import WrongCondition, condition, kind_of


@pytest.mark.parametrize(
    ("written", "kind", "values", "holds"),
    [
        ("MR", "CS", ["mr"], True),
        (3, "number", ["3.0000001"], True),
        ("*sag*", "LO", ["T2 SAG"], True),
        (["KNEE", "LEG*"], "CS", ["LEG LEFT"], True),
        ({"min": 5, "max": 60}, "number", [60.0], True),
        ({"min": 18}, "AS", ["017Y"], False),
        ({"absent": True}, "LO", [], True),
        ({"not": "LOCALIZER"}, "CS", ["ORIGINAL", "LOCALIZER"], False),
    ],
)
def test_a_condition_holds_of_values(written: Any, kind: str, values: list[Any], holds: bool) -> None:
    assert condition(written, "key", kind).holds(values) is holds


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (None, "key: is empty: should be a text or number"),
        ([], "key: .*: an empty list matches nothing"),
        ({"minimum": 1}, "key.minimum: 1: is not a test; .*did you mean 'min'"),
        ({"min": 2, "max": 1}, "nothing can match"),
    ],
)
def test_a_condition_that_cannot_be_meant_so_is_told(written: Any, told: str) -> None:
    with pytest.raises(WrongCondition, match=told):
        condition(written, "key", "number")


def test_what_can_be_asked_follows_from_the_vr() -> None:
    assert [kind_of(vr) for vr in ("DS", "US or SS", "AS", "LO")] == ["number", "number", "AS", "LO"]
