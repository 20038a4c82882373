"""The coded names of the risk."""

from __future__ import annotations

from pipelines.knee_oa_risk import codes
from pipelines.knee_oa_risk.window import HORIZONS


def test_every_horizon_has_a_code_that_says_its_years() -> None:
    assert set(HORIZONS) <= set(codes.RISK_WITHIN)
    for years, code in codes.RISK_WITHIN.items():
        assert code.value == f"OA-RISK-{years}Y"
        assert code.meaning.split("within ")[1] == f"{years} year{'s' if years > 1 else ''}"
