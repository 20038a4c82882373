"""The example of a risk: it says that it is made up, and its parts agree with each other."""

from __future__ import annotations

from pathlib import Path

from dicom_sr.findings import Result
from pipelines.example import SIMULATED
from pipelines.knee_oa_risk.example import RISK, example
from pipelines.knee_oa_risk.window import HORIZONS


def test_the_example_holds_the_made_up_risk_of_each_horizon_and_says_that_no_model_was_asked(tmp_path: Path) -> None:
    result = example(tmp_path).result
    assert isinstance(result, Result)
    assert result.model.trained_on == SIMULATED
    assert any("No model was asked" in text for text in result.limits)
    measurements = {m.name.value: m for finding in result.findings for m in finding.measurements}
    for years, (value, lower, upper) in zip(HORIZONS, RISK, strict=True):
        found = measurements[f"OA-RISK-{years}Y"]
        assert round(found.value, 6) == round(100 * value, 6)
        assert found.interval is not None
        assert [round(end, 6) for end in found.interval] == [round(100 * end, 6) for end in (lower, upper)]
