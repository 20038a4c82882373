"""Confidence against accuracy, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.joint_classification.evaluation.reliability import expected_calibration_error, reliability


def test_reliability_counts_every_case_once() -> None:
    p = np.array([[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.4, 0.35, 0.25]])
    np.testing.assert_allclose(reliability(p, np.array([0, 1, 0])), [(0.4, 1.0, 1 / 3), (0.9, 0.5, 2 / 3)])
    assert expected_calibration_error(p, np.array([0, 1, 0])) == pytest.approx(0.6 / 3 + 0.4 * 2 / 3)
