"""The metacarpal head in a scan: found, cut out, and turned shaft first; and what is refused."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Volume
from pipelines.joint_classification.classes import Condition
from pipelines.joint_classification.geometry import VOXEL_MM
from pipelines.joint_classification.simulation import metacarpal, unknown_heads
from pipelines.joint_classification.volume import FIELD_MM, cut_head, head_of

SPACING = (VOXEL_MM,) * 3


def head(motion: int = 1, seed: int = 3, condition: Condition = "healthy") -> NDArray[np.float32]:
    return metacarpal.simulate(np.random.default_rng(seed), condition, 0, None, motion=motion, step=1).image


@pytest.fixture(scope="module")
def still() -> NDArray[np.float32]:
    return head()


def test_a_head_is_cut_out_of_a_larger_scan_where_it_lies(still: Any) -> None:
    scan = np.pad(still, ((0, 30), (20, 44), (31, 11)), mode="edge")
    found = cut_head(scan, SPACING)
    d, h, w = found.corner
    cut = scan[max(d, 0) : d + found.density.shape[0], h : h + found.density.shape[1], w : w + found.density.shape[2]]
    np.testing.assert_array_equal(found.density[max(0, -d) :], cut)
    assert [n * s for n, s in zip(found.density.shape, found.spacing_mm, strict=True)] == pytest.approx(
        FIELD_MM, abs=0.1
    )
    assert (abs(d), abs(h - 20), abs(w - 31)) < (9, 4, 4)
    assert not found.flipped


def test_a_scan_from_the_other_end_is_turned_shaft_first(still: Any) -> None:
    forth, back = cut_head(still, SPACING), cut_head(np.ascontiguousarray(still[::-1]), SPACING)
    assert back.flipped
    np.testing.assert_array_equal(back.density, forth.density)
    scan = np.pad(still[::-1], 20, constant_values=-1.0)  # so that no part of the cut-out lies beyond
    d, h, w = (corner + 20 for corner in back.corner)
    size = back.density.shape
    there = scan[d : d + size[0], h : h + size[1], w : w + size[2]]
    inside = there >= 0
    assert inside.mean() > 0.8
    np.testing.assert_array_equal(back.density[::-1][inside], there[inside])


def test_a_second_bone_in_the_field_is_taken_out(still: Any) -> None:
    alone = cut_head(still, SPACING).density
    scan = still.copy()
    scan[40:70, 4:12, 4:20] = 0.9  # a piece of the neighbouring finger
    assert cut_head(scan, SPACING).density.max() <= alone.max()
    assert np.abs(cut_head(scan, SPACING).density[40:70, 4:12, 4:20]).max() < 0.5


def test_the_motion_grade_rises_with_motion_and_grade_four_is_refused() -> None:
    moved = {motion: head(motion, seed=motion) for motion in (1, 3, 4)}
    grades = [cut_head(scan, SPACING).motion_grade for scan in moved.values()]
    assert grades == sorted(grades)
    assert grades[1] < 3.5 < grades[2]
    affine = np.diag([*SPACING, 1.0])
    with pytest.raises(UnsuitableInput, match="the scan moved"):
        head_of(Volume(moved[4], affine))
    assert head_of(Volume(moved[3], affine)).motion_grade < 3.5


def test_what_is_no_metacarpal_head_is_refused_in_words(still: Any) -> None:
    rng = np.random.default_rng(0)
    made = {kind: unknown_heads.simulate_unknown(rng, kind, 0, step=1).image for kind in ("shaft", "carpal", "noise")}
    coarse, fine = (2 * VOXEL_MM,) * 3, SPACING
    with pytest.raises(UnsuitableInput, match=r"voxels of 0.25 mm"):
        cut_head(made["shaft"], coarse)
    with pytest.raises(UnsuitableInput, match="goes through the whole scan"):
        cut_head(made["shaft"], fine)
    with pytest.raises(UnsuitableInput, match="lies free"):
        cut_head(made["carpal"], fine)
    with pytest.raises(UnsuitableInput, match="no bone"):
        cut_head(made["noise"], fine)
    with pytest.raises(UnsuitableInput, match="cut off at the side"):
        cut_head(np.ascontiguousarray(still[:, 60:]), SPACING)
    with pytest.raises(UnsuitableInput, match="mm of bone"):
        cut_head(np.ascontiguousarray(still[50:]), SPACING)
    with pytest.raises(UnsuitableInput, match="few millimetres"):
        cut_head(still[:10], SPACING)
