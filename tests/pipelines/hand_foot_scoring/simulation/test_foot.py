"""A foot lies as it should."""

from __future__ import annotations

import numpy as np

from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.skeleton import Blob


def test_toes_point_up_and_the_great_toe_lies_to_the_right_of_a_left_foot() -> None:
    skeleton = foot(np.random.default_rng(3), Disease(), odd=False)
    sites = skeleton.sites
    assert sites["MTP1"][0] > sites["MTP2"][0] > sites["MTP3"][0] > sites["MTP4"][0] > sites["MTP5"][0]
    assert sites["IP1"][1] < sites["MTP1"][1] < 0  # the bases of the metatarsals lie at about 0
    assert {bone.name for bone in skeleton.bones} >= {"navicular", "cuboid", "talus", "calcaneus"}


def test_many_feet_have_their_leg_behind_them_on_the_film() -> None:
    legs = 0
    for seed in range(20):
        names = [bone.name for bone in foot(np.random.default_rng(seed), Disease(), odd=False).bones]
        legs += "tibia" in names
    assert 8 <= legs <= 19


def test_tarsal_bones_of_a_small_child_are_few() -> None:
    def size(age: float | None) -> float:
        skeleton = foot(np.random.default_rng(0), age=age, odd=False)
        bone = next(bone for bone in skeleton.bones if bone.name == "navicular")
        assert isinstance(bone, Blob)
        return float(bone.radii.max()) / skeleton.scale

    assert size(1.0) < 0.2 * size(None)
