"""Volumes that are none of the classes."""

import numpy as np
import pytest

from pipelines.joint_classification.geometry import HEAD_SHAPE
from pipelines.joint_classification.simulation.unknown_heads import UNKNOWN_KINDS, UnknownKind, simulate_unknown


@pytest.mark.parametrize("kind", UNKNOWN_KINDS)
def test_an_unknown_belongs_to_no_class(kind: UnknownKind) -> None:
    case = simulate_unknown(np.random.default_rng(2), kind, 7, step=4)
    assert case.condition is None
    assert case.kind == kind
    assert case.image.shape == tuple(size // 4 for size in HEAD_SHAPE)
    assert not case.lesion.any()
    assert np.isfinite(case.image).all()
