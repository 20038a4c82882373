"""A rendered hand and foot in layers: what the tests of painted films share."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.layers import Canvas, taken_apart
from tests.pipelines.hand_foot_scoring.simulation.marked_phantom import marked_phantom


@pytest.fixture(scope="session")
def hand_canvas() -> Canvas:
    """A rendered hand in layers."""
    picture, sites, outlines = marked_phantom(hand(np.random.default_rng(3), odd=False))
    return taken_apart("rendered hand", picture, "hand", "L", sites, outlines)


@pytest.fixture(scope="session")
def foot_canvas() -> Canvas:
    """A rendered foot in layers, marked on a picture of the other side."""
    picture, sites, outlines = marked_phantom(foot(np.random.default_rng(5), odd=False))
    width = picture.shape[1]
    return taken_apart(
        "rendered foot",
        picture[:, ::-1],
        "foot",
        "R",
        {site: (width - 1 - x, y) for site, (x, y) in sites.items()},
        {name: np.column_stack((width - 1 - points[:, 0], points[:, 1])) for name, points in outlines.items()},
    )
