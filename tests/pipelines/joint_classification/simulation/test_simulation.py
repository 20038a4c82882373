"""Simulated joints: the same seed gives the same case, and the truth says what the class says."""

from typing import Any

import numpy as np
import pytest

from pipelines.joint_classification.simulation import metacarpal, ultrasound


@pytest.mark.parametrize("simulator", [ultrasound, metacarpal])
def test_a_seed_makes_the_same_case_again(simulator: Any) -> None:
    first, second = (simulator.simulate(np.random.default_rng(5), "ra", 0, 0.6) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.lesion, second.lesion)
