"""The example of a super-resolved knee: both echoes, no network, and it says so."""

from __future__ import annotations

from pathlib import Path

from dicom_sr.findings import Result
from pipelines.example import SIMULATED
from pipelines.knee_super_resolution.example import ECHO_TIMES_MS, example


def test_the_example_has_a_volume_with_uncertainty_for_each_echo_and_no_model(tmp_path: Path) -> None:
    result = example(tmp_path, (8, 48, 44)).result
    assert isinstance(result, Result)
    assert result.model.trained_on == SIMULATED
    assert len(result.derived) == len(ECHO_TIMES_MS)
    for derived in result.derived:
        assert derived.uncertainty is not None
        spread = derived.uncertainty.array
        assert spread.shape == derived.volume.array.shape
        assert spread.min() > 0  # nowhere certain
        assert spread[0].mean() < spread[1:].mean()  # surest on an acquired slice
