"""The spaces of the wrist are as wide as their grade says."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.disease import GAP_LEFT, OBLIQUE_LEFT_IN_WRIST, Disease
from pipelines.hand_foot_scoring.simulation.skeleton import Tube
from tests.pipelines.hand_foot_scoring.simulation.test_skeleton import deep, drawn, narrowed


@pytest.mark.parametrize("grade", [0, 1, 2, 3, 4])
def test_the_wrist_is_as_narrow_as_its_grade_says(grade: int) -> None:
    low, high = GAP_LEFT[grade]
    low = low if grade else OBLIQUE_LEFT_IN_WRIST[0]
    for seed in range(6):
        tubes, blobs, scale = narrowed(grade, seed)
        lunate, radius = blobs["lunate"], tubes["radius"]
        towards = float(np.arctan2(radius.direction[1], radius.direction[0]))
        theta = np.linspace(-np.pi, np.pi, 32, endpoint=False)
        reach = float(np.interp(towards, theta, lunate.radii, period=2 * np.pi))
        edge = (lunate.centre[0] + reach * np.cos(towards), lunate.centre[1] + reach * np.sin(towards))
        gap = deep(radius, edge, towards) / scale
        # of 1.9 mm; by the second look at it a facet has moved by less than 0.15 mm
        assert 1.9 * 0.85 * low - 0.15 < gap < 1.9 * 1.2 * high + 0.15


def test_the_ulna_of_a_grown_hand_has_a_process_on_its_outer_side() -> None:
    heights = []
    for seed in range(20):
        tubes, _, scale = narrowed(0, seed)
        deep_mm = np.array(tubes["ulna"].face)[:, 1] / scale
        share = np.array(tubes["ulna"].face)[:, 0]
        assert deep_mm[share < 0.3].min() > -0.5
        heights.append(-deep_mm[share > 0.5].min())
    assert np.median(heights) > 1.5
    assert max(heights) > 3.0


def test_the_facets_of_neighbouring_carpal_bones_lie_opposite_each_other() -> None:
    for seed in range(6):
        _, blobs, scale = narrowed(1, seed)
        capitate, lunate = blobs["capitate"], blobs["lunate"]
        outline = [
            np.array(bone.centre) + bone.radii[:, None] * np.column_stack((np.cos(theta), np.sin(theta)))
            for bone in (capitate, lunate)
            for theta in (np.linspace(-np.pi, np.pi, 32, endpoint=False),)
        ]
        away = np.hypot(*(outline[0][:, None] - outline[1][None]).transpose(2, 0, 1)).min(axis=0) / scale
        assert (away < 3.0).sum() >= 4  # points of the lunate's border, a ninth of a turn


def test_only_joints_that_have_grown_together_lose_their_rims() -> None:
    for grade in (0, 3, 4):
        tubes, blobs, _ = narrowed(grade, 1)
        assert bool(blobs["lunate"].fused) == (grade == 4)
        assert (tubes["radius"].fused[0] > 0) == (grade == 4)


def test_erosions_of_the_radius_lie_below_its_slanting_surface() -> None:
    for seed in range(12):
        skeleton = drawn("hand", Disease({"RAD": 2}), seed)
        radius = next(bone for bone in skeleton.bones if bone.name == "radius")
        assert isinstance(radius, Tube)
        assert radius.lesions
        for lesion in radius.lesions:
            x, y = np.array(lesion.centre) - radius.start
            ux, uy = radius.direction
            along, across = x * ux + y * uy, y * ux - x * uy
            surface = radius.tilt * across + radius.hollow * (1 - (across / radius.half_at_start) ** 2)
            assert 1.0 < (along - surface) / skeleton.scale < 10.0
