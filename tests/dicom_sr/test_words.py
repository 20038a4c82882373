"""Words for the sentences that people read."""

from __future__ import annotations

import pytest

from dicom_sr.words import capital, counted, unit_in_words


@pytest.mark.parametrize(
    ("number", "thing", "told"),
    [
        (1, "job", "1 job"),
        (0, "job", "0 jobs"),
        (2, "study", "2 studies"),
        (1, "study", "1 study"),
        (2, "series", "2 series"),
        (2, "day", "2 days"),
    ],
)
def test_things_are_counted_in_words(number: int, thing: str, told: str) -> None:
    assert counted(number, thing) == told


def test_a_sentence_begins_with_a_capital_and_keeps_the_rest() -> None:
    assert capital("mCP2: healthy pattern") == "MCP2: healthy pattern"
    assert capital("") == ""


def test_what_is_only_counted_has_no_unit() -> None:
    assert [unit_in_words(ucum) for ucum in ("mm", "1", "{ratio}", "%")] == ["mm", "", "", "%"]
