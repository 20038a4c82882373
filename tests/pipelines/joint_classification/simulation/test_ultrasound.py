"""Simulated ultrasound: the truth says what the class says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.geometry import HEIGHT, WIDTH
from pipelines.joint_classification.simulation import ultrasound


@pytest.mark.parametrize("condition", CLASSES)
def test_an_ultrasound_case_is_a_grey_picture_with_a_lesion_only_where_there_is_disease(condition: Any) -> None:
    rng = np.random.default_rng(11)
    cases = [ultrasound.simulate(rng, condition, 0, 0.8) for _ in range(6)]
    for case in cases:
        assert case.image.shape == case.lesion.shape == (HEIGHT, WIDTH)
        assert 0.0 <= case.image.min() < case.image.max() <= 1.0
    assert any(case.lesion.any() for case in cases) is (condition != "healthy")
    assert all(case.severity == 0.0 for case in cases) is (condition == "healthy")


def test_severe_rheumatoid_arthritis_takes_more_room_than_early_disease() -> None:
    early, severe = (
        np.mean([ultrasound.simulate(np.random.default_rng(seed), "ra", 0, severity).lesion.sum() for seed in range(8)])
        for severity in (0.1, 0.9)
    )
    assert severe > 2 * early


def test_the_cases_of_a_patient_share_a_class() -> None:
    cases = ultrasound.patients(seed=1, number=12)
    for patient in {case.patient for case in cases}:
        assert len({case.condition for case in cases if case.patient == patient}) == 1
