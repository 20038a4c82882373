"""Places of joints from masks of bones, held against where the simulator put them."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.sites import HAND_SITES
from pipelines.hand_foot_scoring.training.data.bone_sites import sites_of
from tests.pipelines.hand_foot_scoring.ram_data import SHAPE, drawn_hand


@pytest.mark.parametrize(("seed", "side"), [(0, "L"), (1, "R"), (2, "L")])
def test_every_site_lies_where_the_simulator_has_it(seed: int, side: str) -> None:
    drawn = drawn_hand(seed, "L" if side == "L" else "R")
    found = sites_of(drawn.bones)
    assert set(found) == set(HAND_SITES)
    length = 0.78 * SHAPE[0]
    errors = {s: float(np.hypot(*np.subtract(point, drawn.sites[s]))) / length for s, point in found.items()}
    assert max(errors.values()) < 0.035, errors  # the yardstick for a found joint is 0.04
    assert float(np.median(list(errors.values()))) < 0.012


def test_a_site_whose_bones_were_not_outlined_has_no_place() -> None:
    bones = dict(drawn_hand(0, "L").bones)
    bones["Radius"] = np.zeros_like(bones["Radius"])
    del bones["MC3"]
    missing = {"RADCARP", "RAD", "MCP3", "CMC3", "ULN"}  # the ulna's end is measured by the third metacarpal
    assert set(sites_of(bones)) == set(HAND_SITES) - missing
