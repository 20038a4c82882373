"""A foot lies as it should."""

from __future__ import annotations

import numpy as np

from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.foot import foot


def test_toes_point_up_and_the_great_toe_lies_to_the_right_of_a_left_foot() -> None:
    skeleton = foot(np.random.default_rng(3), Disease(), odd=False)
    sites = skeleton.sites
    assert sites["MTP1"][0] > sites["MTP2"][0] > sites["MTP3"][0] > sites["MTP4"][0] > sites["MTP5"][0]
    assert sites["IP1"][1] < sites["MTP1"][1] < 0  # the bases of the metatarsals lie at about 0
    assert {bone.name for bone in skeleton.bones} >= {"navicular", "cuboid", "talus", "calcaneus"}
