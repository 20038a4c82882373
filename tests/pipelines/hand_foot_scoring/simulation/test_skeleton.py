"""Skeletons: every site has its truth, and disease shows where it is said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.disease import GAP_LEFT, OBLIQUE_LEFT, Disease
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.limb_builder import LimbBuilder
from pipelines.hand_foot_scoring.simulation.radiograph import View, path_lengths
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Skeleton, Tube
from pipelines.hand_foot_scoring.sites import FOOT_SITES, HAND_SITES, Part


def drawn(part: Part, disease: Disease, seed: int = 3) -> Skeleton:
    return (hand if part == "hand" else foot)(np.random.default_rng(seed), disease, odd=False)


def bone_near(skeleton: Skeleton, site: str, reach_mm: float = 7.0) -> float:
    """Mean bone along the beam in a square round a site, mm."""
    pixel_mm = 0.2
    view = View((210, 210), pixel_mm)
    middle = view.to_pixels(np.array([skeleton.sites[site]]))[0]
    view = replace(view, origin=(104.5 - middle[0], 104.5 - middle[1]))
    bone, _ = path_lengths(skeleton, view)
    half = int(reach_mm / pixel_mm)
    return float(bone[105 - half : 105 + half, 105 - half : 105 + half].mean())


def test_a_hand_has_its_22_sites_and_a_foot_its_6() -> None:
    assert set(drawn("hand", Disease()).sites) == set(HAND_SITES)
    assert len(HAND_SITES) == 22
    assert set(drawn("foot", Disease()).sites) == set(FOOT_SITES)
    assert len(FOOT_SITES) == 6


@pytest.mark.parametrize(("part", "site"), [("hand", "MCP2"), ("hand", "NAV"), ("hand", "RAD"), ("foot", "MTP3")])
def test_a_higher_erosion_grade_takes_more_bone_away(part: Part, site: str) -> None:
    top = 5 if part == "hand" else 10
    reach = 20.0 if site == "RAD" else 7.0  # half the width of what is looked at
    lost = []
    for grade in (0, top // 2, top):
        lost.append(np.mean([bone_near(drawn(part, Disease({site: grade}), seed), site, reach) for seed in range(6)]))
    assert lost[0] > lost[1] > lost[2]


def bone_lost(skeleton: Skeleton, site: str) -> float:
    """Volume of the bones with erosions round a site that these take away, mm³ of a mean adult."""
    pixel_mm = 0.3
    x, y = skeleton.sites[site]
    view = View((120, 120), pixel_mm, origin=(60 - x / pixel_mm, 60 - y / pixel_mm))
    eroded = tuple(bone for bone in skeleton.bones if bone.lesions)
    whole = tuple(replace(bone, lesions=()) for bone in eroded)
    before, after = (
        path_lengths(replace(skeleton, bones=bones, tissue=(), objects=()), view)[0] for bones in (whole, eroded)
    )
    return float((before - after).sum() * pixel_mm**2 / skeleton.scale**3)


@pytest.mark.parametrize(("part", "site"), [("hand", "RAD"), ("hand", "MCP2"), ("hand", "MCP5"), ("foot", "MTP3")])
def test_the_smallest_erosion_takes_bone_away_in_every_limb(part: Part, site: str) -> None:
    lost = [bone_lost(drawn(part, Disease({site: 1}), seed), site) for seed in range(25)]
    assert min(lost) > 1.5
    assert np.median(lost) > 5


def test_erosions_are_written_where_the_truth_says() -> None:
    skeleton = drawn("hand", Disease({"PIP3": 2}))
    assert skeleton.erosion["PIP3"] == 2
    assert sum(skeleton.erosion.values()) == 2
    lesions = [lesion for bone in skeleton.bones for lesion in bone.lesions]
    assert lesions
    x, y = skeleton.sites["PIP3"]
    assert all(np.hypot(lesion.centre[0] - x, lesion.centre[1] - y) < 12 for lesion in lesions)


def test_a_narrowed_joint_has_less_space_between_its_bones() -> None:
    def space(grade: int, seed: int) -> float:
        skeleton = drawn("hand", Disease(narrowing={"PIP2": grade}), seed)
        bones = {bone.name: bone for bone in skeleton.bones}
        near, far = bones["ray2.1"], bones["ray2.2"]
        assert isinstance(near, Tube)
        assert isinstance(far, Tube)
        along = np.array(far.start) - np.array(near.end)
        return float(along @ np.array(far.direction)) + far.hollow  # in the middle of the cup

    spaces = np.array([[space(grade, seed) for grade in (0, 1, 2)] for seed in range(12)])
    assert (spaces[:, 1] > spaces[:, 2]).all()
    assert (spaces[:, 2] > 0).all()
    # healthy ones that the beam does not pass along are seen narrow
    assert (spaces[:, 0] > spaces[:, 1]).sum() >= 7


def narrowed(grade: int, seed: int) -> tuple[dict[str, Tube], dict[str, Blob], float]:
    """The bones of a hand with every joint space of one grade, by name, and its scale."""
    skeleton = hand(np.random.default_rng(seed), Disease({}, dict.fromkeys(HAND_SITES, grade)), odd=False)
    tubes = {bone.name: bone for bone in skeleton.bones if isinstance(bone, Tube)}
    blobs = {bone.name: bone for bone in skeleton.bones if isinstance(bone, Blob)}
    return tubes, blobs, skeleton.scale


def deep(tube: Tube, point: tuple[float, float], towards: float) -> float:
    """How far from a point, in the direction of the tube, its cup begins, walking in steps of a hundredth of a mm."""
    steps = np.arange(-2.0, 30.0, 0.01)
    x = point[0] + np.cos(towards) * steps - tube.start[0]
    y = point[1] + np.sin(towards) * steps - tube.start[1]
    along, across = x * tube.direction[0] + y * tube.direction[1], y * tube.direction[0] - x * tube.direction[1]
    share = np.clip(across / tube.half_at_start, -1, 1)
    surface = tube.hollow * (1 - share**2) + tube.tilt * across + tube.face_mm(share)
    return float(steps[np.argmax(along >= surface)])


@pytest.mark.parametrize("grade", [0, 1, 2])
def test_a_finger_joint_is_as_narrow_as_its_grade_says(grade: int) -> None:
    low, high = GAP_LEFT[grade]
    low *= 1.0 if grade else OBLIQUE_LEFT[0]
    for seed in range(6):
        tubes, _, scale = narrowed(grade, seed)
        proximal, middle = tubes["ray3.1"], tubes["ray3.2"]
        towards = float(np.arctan2(middle.direction[1], middle.direction[0]))
        gap = deep(middle, proximal.end, towards) / scale
        # the normal space of a proximal interphalangeal joint is 1.3 mm, in people 0.85 to 1.2 times as much
        assert 1.3 * 0.85 * low - 0.1 < gap < 1.3 * 1.2 * high + 0.1


def test_marks_of_healthy_bones_are_no_lesions_and_are_shallower() -> None:
    parts: tuple[Part, ...] = ("hand", "foot")
    for part in parts:
        skeleton = drawn(part, Disease())
        assert not any(bone.lesions for bone in skeleton.bones)
        marks = [mark for bone in skeleton.bones for mark in bone.marks]
        assert len(marks) > 5
        assert max(mark.depth for mark in marks) <= 0.5
        assert all(mark.soft >= 0.5 for mark in marks)


def test_the_plates_of_a_finger_joint_fade_only_if_it_has_grown_together() -> None:
    for grade in (0, 3, 4):
        tubes, _, _ = narrowed(grade, 2)
        faded = [tubes[f"ray{ray}.1"].fused[0] > 0 for ray in (2, 3, 4, 5)]
        assert any(faded) == (grade == 4)


def test_the_rim_reaches_farther_over_a_healthy_joint_that_is_seen_narrow() -> None:
    near: list[float] = []
    far: list[float] = []
    for seed in range(40):
        build = LimbBuilder(np.random.default_rng(seed), Disease(), 18.0, 1.0)
        build.space("MCP2", 1.7)
        (far if "MCP2" in build.aslant else near).append(build.rim_over("MCP2"))
    assert len(far) > 5
    assert np.mean(far) > np.mean(near) + 0.5
