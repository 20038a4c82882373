"""Parts of the register, and stored measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.knee_oa_risk.evaluation.parts import MeasurementCache, Part
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.training.measures import censoring_weights


def test_a_measurement_is_made_once_for_the_same_sizes_and_again_for_others(tmp_path: Path) -> None:
    made: list[int] = []

    def measure() -> list[int]:
        made.append(1)
        return [len(made)]

    assert MeasurementCache(tmp_path, "sizes").get("rival", measure) == [1]
    assert MeasurementCache(tmp_path, "sizes").get("rival", measure) == [1]
    assert MeasurementCache(tmp_path, "other sizes").get("rival", measure) == [2]
    assert MeasurementCache(None, "sizes").get("rival", measure) == [3]


def test_a_part_knows_who_became_a_case_by_a_horizon() -> None:
    people = simulate(300, 4)
    case, weight = Part.of(people).known(3)
    expected_weight, expected_case = censoring_weights(people.time, people.status, 3)
    assert np.array_equal(case, expected_case)
    assert np.array_equal(weight, expected_weight)
