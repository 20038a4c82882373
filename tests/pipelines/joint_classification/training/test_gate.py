"""The limits of the gate."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.joint_classification.gate import entropy
from pipelines.joint_classification.training.gate import entropy_limit


def test_a_hundredth_of_the_known_cases_exceeds_the_entropy_limit() -> None:
    p = np.random.default_rng(0).dirichlet((2, 1, 1), 5000)
    assert (entropy(p) > entropy_limit(p)).mean() == pytest.approx(0.01, abs=0.002)
