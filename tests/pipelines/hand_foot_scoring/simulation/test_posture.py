"""Postures: a limb that is bent or turned keeps its bones together and its truth on its joints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.posture import (
    Posture,
    posed,
)
from pipelines.hand_foot_scoring.simulation.radiograph import View, path_lengths
from pipelines.hand_foot_scoring.simulation.skeleton import Blob, Skeleton, Tube


def drawn(seed: int = 0) -> Skeleton:
    return hand(np.random.default_rng(seed), Disease(), odd=False)


def tube(skeleton: Skeleton, name: str) -> Tube:
    bone = next(bone for bone in skeleton.bones if bone.name == name)
    assert isinstance(bone, Tube)
    return bone


def thickness(skeleton: Skeleton, name: str) -> float:
    """Bone along the beam, mm, where there is any."""
    alone = replace(skeleton, bones=(tube(skeleton, name),), tissue=(), objects=())
    bone = path_lengths(alone, View((500, 300), 0.5, origin=(150.0, 400.0)))[0]
    return float(bone.sum() / (bone > 0.5).sum())


def test_no_posture_leaves_fingers_and_sites_where_they_are() -> None:
    flat = drawn()
    same = posed(flat, Posture())
    for name, site in flat.sites.items():
        # a joint space is measured on the axis here, not at the bottom of the cup
        np.testing.assert_allclose(same.sites[name], site, atol=2.0, err_msg=name)
    for name in ("ray3.1", "ray3.3", "radius"):
        np.testing.assert_allclose(tube(same, name).start, tube(flat, name).start, atol=1e-6)
        np.testing.assert_allclose(tube(same, name).end, tube(flat, name).end, atol=1e-6)


def test_a_bent_finger_is_seen_shortened_and_denser_and_takes_its_tip_along() -> None:
    flat = drawn()
    bent = posed(flat, Posture(pitch={"ray3.1": np.pi / 3, "ray3.2": np.pi / 3}))
    assert tube(bent, "ray3.1").length == pytest.approx(tube(flat, "ray3.1").length / 2)
    assert thickness(bent, "ray3.1") > 1.3 * thickness(flat, "ray3.1")
    assert bent.sites["PIP3"][1] > flat.sites["PIP3"][1] + 10  # nearer to the palm
    assert tube(bent, "ray3.3").start[1] > tube(flat, "ray3.3").start[1] + 20
    np.testing.assert_allclose(bent.sites["PIP4"], flat.sites["PIP4"], atol=2.0)


def test_the_soft_tissue_of_a_folded_finger_adds_to_that_behind_it() -> None:
    flat = drawn()
    folded = posed(flat, Posture(pitch={"ray3.1": 0.2, "ray3.2": 1.8, "ray3.3": 3.0}))
    view = View((500, 300), 0.5, origin=(150.0, 400.0))
    before, after = (path_lengths(skeleton, view)[1].max() for skeleton in (flat, folded))
    assert after > before + 5
    assert not any(piece.in_front for piece in posed(flat, Posture()).tissue)


def test_a_bone_kinked_to_the_side_takes_what_follows_along() -> None:
    flat = drawn()
    kinked = posed(flat, Posture(kink={"ray4.2": -0.8}))
    np.testing.assert_allclose(kinked.sites["PIP4"], flat.sites["PIP4"], atol=2.0)
    assert tube(kinked, "ray4.3").end[0] < tube(flat, "ray4.3").end[0] - 15  # to the ulnar side


def test_a_drifting_finger_turns_about_its_knuckle() -> None:
    flat = drawn()
    drifted = posed(flat, Posture(yaw={2: -0.6}))
    np.testing.assert_allclose(drifted.sites["MCP2"], flat.sites["MCP2"], atol=2.0)
    assert drifted.sites["PIP2"][0] < flat.sites["PIP2"][0] - 10  # to the ulnar side


def test_a_proximal_phalanx_that_has_slipped_overlaps_the_metacarpal() -> None:
    flat = drawn()
    slipped = posed(flat, Posture(slip={2: 8.0}))
    head, base = tube(slipped, "ray2.0").end, tube(slipped, "ray2.1").start
    assert base[1] > head[1] + 4
    assert slipped.sites["MCP2"][1] == pytest.approx((head[1] + base[1]) / 2)


def test_a_proximal_phalanx_beside_its_joint_takes_half_of_the_way_from_the_site() -> None:
    flat = drawn()
    beside = posed(flat, Posture(aside={2: 8.0}))
    assert tube(beside, "ray2.1").start[0] == pytest.approx(tube(flat, "ray2.1").start[0] - 8)
    assert beside.sites["MCP2"][0] == pytest.approx(posed(flat, Posture()).sites["MCP2"][0] - 4)


def test_a_bent_finger_stays_bent_when_the_hand_is_posed_again() -> None:
    bent = posed(drawn(), Posture(pitch={"ray3.1": 1.4}))
    again = posed(bent, Posture())
    assert tube(again, "ray3.1").length == pytest.approx(tube(bent, "ray3.1").length)
    assert tube(again, "ray3.1").deep == pytest.approx(tube(bent, "ray3.1").deep)


def test_marks_of_a_bone_go_with_it() -> None:
    flat = drawn(2)
    turned = posed(flat, Posture(0.2))
    seen = 0
    for name in ("lunate", "capitate", "scaphoid"):
        one, other = (next(bone for bone in limb.bones if bone.name == name) for limb in (flat, turned))
        assert isinstance(one, Blob)
        assert isinstance(other, Blob)
        for before, after in zip(one.marks, other.marks, strict=True):
            moved = np.array(after.centre) - np.array(before.centre)
            np.testing.assert_allclose(moved, np.array(other.centre) - np.array(one.centre))
            seen += 1
    assert seen
