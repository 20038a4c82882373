"""What the localiser sees of a picture."""

from __future__ import annotations

import numpy as np

from pipelines.hand_foot_scoring.canvas import channels


def test_what_the_localiser_sees_does_not_depend_on_gain_and_offset() -> None:
    image = np.random.default_rng(0).random((64, 48)).astype(np.float32)
    np.testing.assert_allclose(channels(image), channels(900 * image + 200), atol=2e-3)
