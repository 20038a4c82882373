"""Postures drawn at random: limbs keep their sites and grades, and look as the posture is named."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.drawn_postures import (
    clawed_foot,
    curled_child,
    deformed_hand,
    fused_carpus,
    lateral,
    not_quite_flat,
    oblique,
)
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Skeleton
from tests.pipelines.hand_foot_scoring.simulation.test_posture import drawn, tube


def breadth(skeleton: Skeleton) -> float:
    heads = [skeleton.sites[f"MCP{n}"][0] for n in (2, 3, 4, 5)]
    return max(heads) - min(heads)


@pytest.mark.parametrize("seed", range(3))
def test_knuckles_lie_closer_together_the_further_a_hand_is_turned(seed: int) -> None:
    flat = drawn(seed)
    turned, side = (draw(flat, np.random.default_rng(seed)) for draw in (oblique, lateral))
    assert breadth(side) < 0.5 * breadth(flat)
    assert breadth(side) < breadth(turned) < breadth(flat)
    assert tube(turned, "ray3.0").knots[0][1] == tube(flat, "ray3.0").knots[0][1]  # as wide as before


def test_a_foot_from_the_side_has_its_heel_and_a_leg_across() -> None:
    rng = np.random.default_rng(1)
    side = lateral(foot(rng, Disease(), odd=False), rng)
    names = [bone.name for bone in side.bones]
    assert names.count("calcaneus") == names.count("talus") == names.count("tibia") == 1
    leg = tube(side, "tibia").direction
    assert abs(leg[0]) > 0.4  # not along the foot


def test_deformed_limbs_keep_all_sites_and_grades() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        for flat, deform in ((drawn(seed), deformed_hand), (foot(rng, Disease(), odd=False), clawed_foot)):
            made = deform(flat, rng)
            assert made.sites.keys() == flat.sites.keys()
            assert (made.erosion, made.narrowing, made.states) == (flat.erosion, flat.narrowing, flat.states)
            assert np.isfinite(np.array(list(made.sites.values()))).all()


def test_a_fused_carpus_fills_the_spaces_between_its_bones() -> None:
    flat = drawn()
    fused = fused_carpus(flat, np.random.default_rng(0))
    reach = {b.name: b.radii.max() for b in flat.bones if isinstance(b, Blob)}
    assert all(b.radii.max() > reach[b.name] for b in fused.bones if isinstance(b, Blob) and b.name == "lunate")
    assert any(bone.name == "carpus" for bone in fused.bones)
    assert fused.sites == flat.sites


def test_a_limb_that_is_not_quite_flat_keeps_its_truth_and_nearly_its_places() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        for flat in (drawn(seed), foot(rng, Disease(), odd=False)):
            made = not_quite_flat(flat, rng)
            assert (made.erosion, made.narrowing, made.states) == (flat.erosion, flat.narrowing, flat.states)
            before, after = (np.array([limb.sites[name] for name in flat.sites]) for limb in (flat, made))
            assert np.median(np.hypot(*(after - before).T)) < 4.0


def test_a_bone_of_a_limb_that_is_not_quite_flat_is_never_seen_end_on() -> None:
    for seed in range(20):
        flat = drawn(seed)
        made = not_quite_flat(flat, np.random.default_rng(seed))
        for ray in (2, 3, 4, 5):
            assert tube(made, f"ray{ray}.2").length > 0.65 * tube(flat, f"ray{ray}.2").length


def test_a_small_child_may_lie_curled_and_keeps_its_sites_and_its_open_plates() -> None:
    thumbs_in = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        flat = hand(rng, age=2.0, odd=False)
        curled = curled_child(flat, rng)
        assert (curled.sites.keys(), curled.open_plates) == (flat.sites.keys(), True)
        thumbs_in += tube(curled, "ray1.2").end[0] < tube(flat, "ray1.2").end[0] - 5 * flat.scale
    assert 2 < thumbs_in < 10  # half of them, by up to 45 degrees
