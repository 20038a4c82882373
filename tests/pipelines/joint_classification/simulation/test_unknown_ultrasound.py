"""Pictures that are none of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.joint_classification.simulation import unknown_ultrasound


@pytest.mark.parametrize("kind", unknown_ultrasound.UNKNOWN_KINDS)
def test_an_unknown_belongs_to_no_class(kind: Any) -> None:
    case = unknown_ultrasound.simulate_unknown(np.random.default_rng(2), kind, 7)
    assert case.condition is None
    assert case.kind == kind
    assert not case.lesion.any()
    assert np.isfinite(case.image).all()
