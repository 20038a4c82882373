"""A hand lies as it should, and a child's is not grown."""

from __future__ import annotations

import numpy as np

from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.limb_builder import EPIPHYSIS
from pipelines.hand_foot_scoring.simulation.posture import Posture, posed
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Skeleton, Tube
from tests.pipelines.hand_foot_scoring.simulation.test_skeleton import drawn


def test_fingers_point_up_and_the_thumb_lies_to_the_right_of_a_left_hand() -> None:
    sites = drawn("hand", Disease()).sites
    for finger in (2, 3, 4, 5):
        assert sites[f"PIP{finger}"][1] < sites[f"MCP{finger}"][1] < sites["LUN"][1] < sites["RAD"][1]
    assert sites["MCP1"][0] > sites["MCP2"][0] > sites["MCP3"][0] > sites["MCP4"][0] > sites["MCP5"][0]


def test_a_child_has_open_growth_plates_and_a_wrist_that_is_not_ossified() -> None:
    child, adult = (hand(np.random.default_rng(1), age=age, odd=False) for age in (6.5, None))
    assert child.open_plates
    assert not adult.open_plates
    assert any(isinstance(bone, Tube) and bone.plates for bone in child.bones)
    assert not any(isinstance(bone, Tube) and bone.plates for bone in adult.bones)

    def trapezium(skeleton: Skeleton) -> float:
        blob = next(bone for bone in skeleton.bones if bone.name == "trapezium")
        assert isinstance(blob, Blob)
        return float(blob.radii.max()) / skeleton.scale

    assert trapezium(child) < 0.75 * trapezium(adult)


def test_an_infant_has_no_epiphysis_yet_and_wide_spaces_between_short_bones() -> None:
    infant, child = (hand(np.random.default_rng(1), age=age, odd=False) for age in (0.3, 6.5))
    assert infant.open_plates
    assert not any(isinstance(bone, Tube) and bone.plates for bone in infant.bones)

    def space(skeleton: Skeleton) -> float:
        bones = {bone.name: bone for bone in skeleton.bones if isinstance(bone, Tube)}
        head, base = bones["ray3.0"].end, bones["ray3.1"].start
        return float(np.hypot(head[0] - base[0], head[1] - base[1])) / skeleton.scale

    assert space(infant) > 2 * space(child)


def nuclei(skeleton: Skeleton) -> list[Blob]:
    return [bone for bone in skeleton.bones if isinstance(bone, Blob) and bone.name.endswith(EPIPHYSIS)]


def test_a_small_child_has_nuclei_in_the_cartilage_that_grow() -> None:
    infant, small, larger = (hand(np.random.default_rng(1), age=age, odd=False) for age in (0.3, 2.6, 4.2))
    assert not nuclei(infant)
    assert len(nuclei(small)) == len(nuclei(larger)) == 19  # of every tubular bone
    widths = [np.mean([bone.radii.max() / skeleton.scale for bone in nuclei(skeleton)]) for skeleton in (small, larger)]
    assert widths[0] < 0.9 * widths[1]


def test_nuclei_and_soft_tissue_follow_a_finger_that_is_bent() -> None:
    flat = hand(np.random.default_rng(1), age=3.0, odd=False)
    bent = posed(flat, Posture(yaw={2: 0.6}))
    before, after = (next(b for b in nuclei(limb) if b.name == f"ray2.1{EPIPHYSIS}") for limb in (flat, bent))
    [tube] = [bone for bone in bent.bones if bone.name == "ray2.1"]
    assert isinstance(tube, Tube)
    assert np.hypot(after.centre[0] - before.centre[0], after.centre[1] - before.centre[1]) > 0.5
    away = np.array(after.centre) - tube.start
    assert abs(away[0] * tube.direction[1] - away[1] * tube.direction[0]) < 0.2  # still on the axis of its bone
    flesh = next(capsule for capsule in bent.tissue if capsule.bone == "ray2.1")
    aside = np.array(flesh.end) - tube.start
    assert abs(aside[0] * tube.direction[1] - aside[1] * tube.direction[0]) < 0.2
