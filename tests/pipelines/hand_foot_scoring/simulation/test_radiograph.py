"""Projection: path lengths, mirror, turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.radiograph import Exposure, View, expose, path_lengths
from pipelines.hand_foot_scoring.simulation.skeleton import Capsule, Skeleton, Tube


def one_bone(cortex: float) -> Skeleton:
    """A straight bone of 60 mm, 10 mm thick, with a wall of `cortex`, in a finger of 16 mm."""
    knots = ((0.0, 5.0), (60.0, 5.0))
    bone = Tube("bone", (0.0, -30.0), (0.0, 1.0), 60.0, knots, cortex)
    finger = Capsule((0.0, -40.0), (0.0, 40.0), (8.0, 8.0))
    return Skeleton("hand", (bone,), (finger,), (), {}, {}, {}, {}, 1.0, False)


VIEW = View((200, 120), 0.5, origin=(59.5, 99.5))


def test_the_wall_of_a_shaft_is_denser_than_its_middle() -> None:
    bone, _ = path_lengths(one_bone(2.0), VIEW)
    across = bone[100]
    middle, wall = across[59:61].mean(), across.max()
    assert wall > 1.2 * middle
    assert across[:45].max() == 0


def test_solid_bone_is_as_thick_as_a_cylinder() -> None:
    bone, _ = path_lengths(one_bone(5.0), VIEW)
    # 10 mm through the axis, bone being drawn at 85 % of a round section
    assert bone[100, 59:61].mean() == pytest.approx(8.5, rel=0.03)


def test_soft_tissue_is_as_thick_as_the_finger() -> None:
    _, tissue = path_lengths(one_bone(2.0), VIEW)
    assert tissue[100, 59:61].mean() == pytest.approx(16, rel=0.03)


def test_a_right_limb_is_the_mirror_image_of_a_left_one() -> None:
    skeleton = hand(np.random.default_rng(0), odd=False)
    left = View((240, 200), 1.0, origin=(99.5, 170.0))
    right = replace(left, mirrored=True)
    a, b = path_lengths(skeleton, left), path_lengths(skeleton, right)
    np.testing.assert_allclose(a[0], b[0][:, ::-1], atol=1e-3)
    np.testing.assert_allclose(a[1], b[1][:, ::-1], atol=1e-3)


def test_points_and_pixels_turn_together() -> None:
    skeleton = one_bone(2.0)
    view = replace(VIEW, shape=(200, 200), origin=(99.5, 99.5), rotation=np.pi / 2)
    bone, _ = path_lengths(skeleton, view)
    rows, columns = np.nonzero(bone > 1)
    assert np.ptp(columns) > 3 * np.ptp(rows)  # it stood upright, now it lies
    end = view.to_pixels(np.array([[0.0, 28.0]]))[0]  # near the far end of the bone
    assert bone[round(end[1]), round(end[0])] > 1


def test_an_exposed_film_is_bright_where_there_is_bone() -> None:
    rng = np.random.default_rng(0)
    image = expose(one_bone(2.0), VIEW, Exposure(noise=0.002), rng)
    assert image[100, 55:65].mean() > image[100, 46:49].mean() > image[100, :20].mean()


def tilted(angle: float) -> Skeleton:
    """The bone alone, its end lifted towards the beam."""
    flat = one_bone(2.0)
    (bone,) = flat.bones
    assert isinstance(bone, Tube)
    length = 60.0 * np.cos(angle)
    knots = ((0.0, 5.0), (length, 5.0))
    return replace(flat, bones=(replace(bone, length=length, knots=knots, deep=60.0 * np.sin(angle)),), tissue=())


@pytest.mark.parametrize("degrees", [20, 40, 50, 70, 85])
def test_a_tilted_bone_has_as_much_bone_as_a_flat_one(degrees: float) -> None:
    flat, tilt = (path_lengths(tilted(np.radians(angle)), VIEW)[0].sum() for angle in (0, degrees))
    assert tilt == pytest.approx(flat, rel=0.12)


def test_a_bone_seen_end_on_is_a_disc_as_wide_as_the_bone_with_a_bright_wall() -> None:
    bone, _ = path_lengths(tilted(np.radians(89)), VIEW)
    rows, columns = np.nonzero(bone > 2)
    assert np.ptp(columns) == pytest.approx(20, abs=2)  # 10 mm
    assert np.ptp(rows) == pytest.approx(20, abs=4)
    row, column = round(rows.mean()), round(columns.mean())
    wall, middle = bone[row, column + 8], bone[row, column]
    assert wall > 2 * middle
    assert wall == pytest.approx(0.85 * 60, rel=0.2)
