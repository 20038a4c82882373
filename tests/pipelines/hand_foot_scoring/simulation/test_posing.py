"""Bones of a real limb that are moved: joint spaces are as wide as their grades say, and flesh follows."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.disease import GAP_LEFT, Disease
from pipelines.hand_foot_scoring.simulation.layers import CANVAS_MM, Canvas
from pipelines.hand_foot_scoring.simulation.outlines import space_between
from pipelines.hand_foot_scoring.simulation.posing import (
    Build,
    Pose,
    joint_bones,
    placed,
    random_pose,
    rays,
    tissue_source,
)


def pose(canvas: Canvas, seed: int, **narrowing: int) -> Pose:
    return random_pose(canvas, Disease(narrowing=narrowing), np.random.default_rng(seed), Build())


def space_mm(made: Pose, canvas: Canvas, site: str) -> float:
    first, second = (made.bones[name] for name in joint_bones(canvas.part, made.rays, site))
    axis = np.array(made.axes[site])
    middle = np.array(made.sites[site])
    return space_between(first.moved_outline, second.moved_outline, middle, axis, 2 / CANVAS_MM) * CANVAS_MM


def test_every_bone_lies_where_it_was_while_nothing_has_moved(hand_canvas: Canvas) -> None:
    for bone in placed(hand_canvas).values():
        np.testing.assert_allclose(bone.forth(bone.outline), bone.outline, atol=1e-6)


def test_forth_and_back_are_inverse(hand_canvas: Canvas) -> None:
    for bone in pose(hand_canvas, 3).bones.values():
        np.testing.assert_allclose(bone.back(bone.forth(bone.outline)), bone.outline, atol=1e-6)


def test_rays_run_from_the_body_outwards(hand_canvas: Canvas, foot_canvas: Canvas) -> None:
    assert rays(hand_canvas.bones)[1] == ("metacarpal 1", "proximal phalanx 1", "distal phalanx 1")
    assert len(rays(hand_canvas.bones)[3]) == 4
    assert rays(foot_canvas.bones)[5][0] == "metatarsal 5"


@pytest.mark.parametrize("site", ["MCP2", "MCP3", "MCP4", "PIP2", "PIP3", "PIP4", "CMC3"])
def test_a_narrowed_space_has_the_share_that_its_grade_leaves(hand_canvas: Canvas, site: str) -> None:
    widths = {}
    for grade in (0, 1, 2, 3):
        made = [pose(hand_canvas, seed, **{site: grade}) for seed in range(12)]
        widths[grade] = np.mean([space_mm(p, hand_canvas, site) for p in made if site not in p.shifted])
    assert widths[0] > widths[2] > widths[3]
    for grade in (2, 3):  # of a healthy joint less may be seen than there is
        share = np.mean(GAP_LEFT[grade]) / np.mean(GAP_LEFT[1])
        assert widths[grade] / widths[1] == pytest.approx(share, abs=0.2)


def test_no_space_is_left_at_the_highest_grade(foot_canvas: Canvas) -> None:
    for seed in range(6):
        made = pose(foot_canvas, seed, MTP2=4)
        if "MTP2" not in made.shifted:
            assert space_mm(made, foot_canvas, "MTP2") < 0.15


def test_a_narrowed_wrist_brings_the_forearm_nearer(hand_canvas: Canvas) -> None:
    near, far = (
        np.mean(
            [
                pose(hand_canvas, seed, **grades).bones["radius"].moved_base[1]
                - pose(hand_canvas, seed, **grades).bones["capitate"].moved_base[1]
                for seed in range(5)
            ]
        )
        for grades in ({"RADCARP": 4, "CAPNAVLUN": 4}, {})
    )
    assert (far - near) * CANVAS_MM > 0.8


def test_soft_tissue_on_a_bone_goes_with_it(hand_canvas: Canvas) -> None:
    slips, gone = [], []
    for seed in range(7):
        made = pose(hand_canvas, seed)
        bone = made.bones["proximal phalanx 3"]
        source, vacated = tissue_source(made, bone.forth(bone.outline))
        slips.append(np.hypot(*(source - bone.outline).T).mean() * CANVAS_MM)
        gone.append(vacated.max())
    assert np.median(slips) < 0.7
    assert np.median(gone) < 1.5
