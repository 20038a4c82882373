"""Severe deformity: what becomes of joints, wrist and bone, and that the truth moves along."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.severe import FINGER_KINDS, collapsed_carpus, severe_hand
from pipelines.hand_foot_scoring.simulation.skeleton import Skeleton, Tube


def drawn(seed: int = 0) -> Skeleton:
    return hand(np.random.default_rng(seed), Disease(), odd=False)


def tubes(skeleton: Skeleton) -> dict[str, Tube]:
    return {bone.name: bone for bone in skeleton.bones if isinstance(bone, Tube)}


@pytest.mark.parametrize("kind", FINGER_KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_sites_lie_between_the_bones_of_their_joints_whatever_the_deformity(kind: str, seed: int) -> None:
    made = severe_hand(drawn(seed), np.random.default_rng(seed), kind)
    bones = tubes(made)
    for name, near, far in [(f"MCP{n}", f"ray{n}.0", f"ray{n}.1") for n in (1, 2, 3, 4, 5)] + [
        (f"PIP{n}", f"ray{n}.1", f"ray{n}.2") for n in (2, 3, 4, 5)
    ]:
        middle = (np.array(bones[near].end) + np.array(bones[far].start)) / 2
        # the drawn end of a bone seen end-on is at most a twentieth of its length off the true one
        np.testing.assert_allclose(made.sites[name], middle, atol=1.5, err_msg=f"{kind} {name}")


def test_a_severe_hand_keeps_its_grades_and_all_sites_but_a_resected_ulnar_head() -> None:
    resected = 0
    for seed in range(40):
        flat = drawn(seed)
        made = severe_hand(flat, np.random.default_rng(seed))
        assert made.sites.keys() == flat.sites.keys()
        assert (made.erosion, made.narrowing) == (flat.erosion, flat.narrowing)
        assert np.isfinite(np.array(list(made.sites.values()))).all()
        changed = {name for name, state in made.states.items() if state != flat.states[name]}
        assert changed <= {"ULN"}
        resected += bool(changed)
    assert 0 < resected < 20


def test_fingers_seen_end_on_stand_upright_and_mutilated_ones_are_short() -> None:
    def steep(kind: str) -> float:
        made = [tubes(severe_hand(drawn(seed), np.random.default_rng(seed), kind)) for seed in range(20)]
        return float(np.mean([abs(b[f"ray{n}.2"].deep) > b[f"ray{n}.2"].length for b in made for n in (2, 3, 4, 5)]))

    def finger(kind: str) -> float:
        made = [tubes(severe_hand(drawn(seed), np.random.default_rng(seed), kind)) for seed in range(20)]
        return float(np.mean([np.hypot(b[f"ray{n}.1"].length, b[f"ray{n}.1"].deep) for b in made for n in (2, 3, 4)]))

    assert steep("end on") > steep("angled") + 0.2
    assert finger("mutilated") < finger("angled") - 3  # mm


def test_a_collapsed_carpus_brings_the_metacarpals_near_the_radius_and_its_sites_along() -> None:
    flat = drawn()
    made = collapsed_carpus(flat, np.random.default_rng(0))
    before, after = tubes(flat), tubes(made)
    assert after["ray3.0"] == before["ray3.0"]
    assert after["radius"].start[1] < before["radius"].start[1] - 2
    for name in ("RADCARP", "RAD"):
        moved = np.array(made.sites[name]) - flat.sites[name]
        np.testing.assert_allclose(moved, np.subtract(after["radius"].start, before["radius"].start), atol=2.0)
    order = ["CMC3", "CAPNAVLUN", "LUN", "RAD"]  # from the fingers down
    assert sorted(order, key=lambda name: made.sites[name][1]) == order
