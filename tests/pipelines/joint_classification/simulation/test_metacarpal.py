"""Simulated heads: lesions at the surface, of the size that their severity says, and motion that shows."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.joint_classification.classes import Condition
from pipelines.joint_classification.simulation import metacarpal


def test_an_erosion_takes_bone_away_and_a_proliferation_adds_some() -> None:
    def outside_of_bone(condition: Condition) -> float:
        case = metacarpal.simulate(np.random.default_rng(3), condition, 0, 0.9, motion=1, step=2)
        return float(case.image[case.lesion].mean())

    # where bone was eaten there is soft tissue now; where it grew there is bone
    assert outside_of_bone("ra") < 0.5 * outside_of_bone("psa")


def test_motion_of_a_high_grade_disturbs_the_soft_tissue_around_the_bone() -> None:
    def unrest(grade: int) -> float:
        case = metacarpal.simulate(np.random.default_rng(6), "healthy", 0, motion=grade, step=2)
        return float(case.image[:, :6, :6].std())

    assert unrest(5) > 2 * unrest(1)


def test_bone_that_psoriatic_arthritis_adds_stands_out_of_the_head_by_its_severity() -> None:
    def added_mm3(severity: float, seed: int) -> float:
        case = metacarpal.simulate(np.random.default_rng(seed), "psa", 0, severity, motion=1, step=2)
        return float(case.lesion.sum()) * float(np.prod(case.spacing_mm))

    little, much = ([added_mm3(severity, seed) for seed in range(6)] for severity in (0.1, 0.9))
    assert min(little) > 0.5
    assert min(much) > 5.0  # a spur of 1.5 mm height on a foot of 2 mm has some 3 mm3; none is buried in the bone
    assert np.mean(much) > 4 * np.mean(little)


def test_lesions_begin_at_the_surface_of_the_head() -> None:
    grid = metacarpal.grid_mm(1)
    d, h, w = grid
    ball = np.sqrt((d - 6.0) ** 2 + h**2 + w**2) - 4.0
    assert metacarpal._reach(ball, grid, (6.0, 0.0, 0.0), (0.0, 0.0, 1.0)) == pytest.approx(4.0, abs=0.06)
    assert metacarpal._reach(ball, grid, (8.0, 0.0, 0.0), (0.0, 1.0, 0.0)) == pytest.approx(np.sqrt(12.0), abs=0.06)
