"""The grades of simulated disease."""

from __future__ import annotations

import numpy as np

from pipelines.hand_foot_scoring.simulation.disease import lesion_grades


def test_the_grades_of_single_erosions_add_up() -> None:
    rng = np.random.default_rng(0)
    assert lesion_grades(0, rng) == []
    assert lesion_grades(5, rng) == [5]
    for grade in (1, 2, 3, 4):
        assert sum(lesion_grades(grade, rng)) == grade
