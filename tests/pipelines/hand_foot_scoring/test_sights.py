"""What a picture shows, in probabilities and in words."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.network import OTHER_POSE, POSES
from pipelines.hand_foot_scoring.sights import Sight, on_picture, part_share, straight_places
from pipelines.hand_foot_scoring.windows import ORIENTATIONS


@pytest.mark.parametrize(("turns", "mirrored"), ORIENTATIONS)
def test_what_a_canvas_says_of_the_pose_is_carried_over_to_the_picture(turns: int, mirrored: bool) -> None:
    seen = np.zeros(OTHER_POSE + 1, np.float32)
    seen[POSES.index(("hand", False, 0))] = 0.75  # it stands upright on the window, so it lies as the window says
    seen[OTHER_POSE] = 0.25
    there = on_picture(seen, turns, mirrored)
    assert there[POSES.index(("hand", mirrored, turns))] == 0.75
    assert there[OTHER_POSE] == 0.25
    assert there.sum() == pytest.approx(1.0)


def test_a_pose_on_a_turned_canvas_adds_to_the_canvas_s_own() -> None:
    seen = np.zeros(OTHER_POSE + 1, np.float32)
    seen[POSES.index(("foot", False, 1))] = 1.0
    assert on_picture(seen, 2, False)[POSES.index(("foot", False, 3))] == 1.0
    assert on_picture(seen, 2, True)[POSES.index(("foot", True, 1))] == 1.0


def test_what_a_picture_shows_is_said_in_words() -> None:
    assert Sight("hand", "lateral", 0.9).words == "a lateral view of a hand"
    assert Sight("foot", "dp", 0.9).words == "a dorsoplantar view of a foot"
    assert Sight("other", "", 0.9).words == "neither a hand nor a foot"


def test_of_two_parts_that_look_alike_the_one_that_more_sites_speak_for_is_likelier() -> None:
    pose = np.full(OTHER_POSE + 1, 1e-6)
    pose[straight_places("hand")[0]] = pose[straight_places("foot")[0]] = 0.45
    assert part_share("hand", pose, pose) == pytest.approx(0.5)
    assert part_share("hand", pose, pose, odds=4) == pytest.approx(0.8)
    assert part_share("foot", pose, pose, odds=0.25) == pytest.approx(0.2)
