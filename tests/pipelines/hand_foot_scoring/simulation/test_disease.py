"""The grades of simulated disease."""

from __future__ import annotations

import numpy as np

from pipelines.hand_foot_scoring.simulation.disease import GAP_LEFT, lesion_grades, seen_space


def test_the_grades_of_single_erosions_add_up() -> None:
    rng = np.random.default_rng(0)
    assert lesion_grades(0, rng) == []
    assert lesion_grades(5, rng) == [5]
    for grade in (1, 2, 3, 4):
        assert sum(lesion_grades(grade, rng)) == grade


def test_healthy_spaces_are_seen_narrow_now_and_then_and_in_the_wrist_not_at_all() -> None:
    rng = np.random.default_rng(0)
    finger = np.array([seen_space("MCP2", 0, rng) for _ in range(400)])
    wrist = np.array([seen_space("CAPNAVLUN", 0, rng) for _ in range(400)])
    assert 0.3 < (finger < GAP_LEFT[0][0]).mean() < 0.5
    assert finger.min() > 0.4
    assert (wrist < 0).any()
    assert max(seen_space("MCP2", 2, rng) for _ in range(50)) <= GAP_LEFT[2][1]
