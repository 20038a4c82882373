"""The numbers that the simulated people are made from."""

from __future__ import annotations

import pytest

from pipelines.knee_oa_risk.simulation import rates


@pytest.mark.parametrize("table", ["CHRONIC", "ACUTE", "INJURY", "TREATED", "PRESCRIBED", "EFFECT"])
def test_every_code_is_a_row_of_the_vocabulary(table: str) -> None:
    assert set(getattr(rates, table)) <= set(rates.ROW)


def test_what_is_treated_and_prescribed_for_is_recorded_too() -> None:
    assert {condition for condition, _ in rates.TREATED.values()} <= set(rates.CHRONIC)
    assert {episode for episode, _, _ in rates.PRESCRIBED.values()} <= set(rates.ACUTE)
    assert set(rates.INJURY) <= set(rates.ACUTE)
