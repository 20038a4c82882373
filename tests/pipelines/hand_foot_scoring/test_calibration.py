"""What the other joints of a patient say about one."""

from __future__ import annotations

import numpy as np

from pipelines.hand_foot_scoring.calibration import context


def test_the_context_leaves_the_joint_itself_out() -> None:
    p = np.eye(5)[[4, 0, 2, 1]]
    around = np.exp(context(p, np.array([0, 0, 0, 1]), np.array([2, -1, 0, -1]))) - 0.02
    np.testing.assert_allclose(around[:, 0], [0.5, 0.75, 1.0, 0.25])  # the counterpart, or else the others
    np.testing.assert_allclose(around[:, 1], [0.25, 0.75, 0.5, 0.25])  # the others, or else itself
