"""Regions and volumes of two results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from dicom_sr.findings import ImageReference, Result, Segment, Volume
from node.models.images import regions, volumes
from tests.factories import knee_result, knee_study

AFFINE = np.diag([4.0, 0.5, 0.5, 1.0])


@pytest.fixture
def result(tmp_path: Path) -> Result:
    return knee_result(knee_study(tmp_path))


def segment(volume: Volume | None = None, **more: object) -> Segment:
    return replace(Segment("bone", codes.SCT.Bone, codes.SCT.Bone, volume), **more)  # type: ignore[arg-type]


def box(array: NDArray[np.generic], corner: tuple[int, int, int]) -> Volume:
    """A box of the grid, at that index of it."""
    affine = AFFINE.copy()
    affine[:3, 3] = AFFINE[:3, :3] @ np.array(corner)
    return Volume(array, affine)


def dices(result: Result, one: Segment, two: Segment) -> list[float | None]:
    first, second = (replace(result, segments=(each,)) for each in (one, two))
    return [each.value for each in regions(first, second)]


def test_a_box_and_a_label_map_of_the_same_region_agree(result: Result) -> None:
    whole = np.zeros((6, 10, 10), np.uint8)
    whole[1:4, 2:6, 3:8] = 7
    mapped = segment(Volume(whole, AFFINE), label_value=7)
    cropped = segment(box(np.ones((3, 4, 5), bool), (1, 2, 3)))
    shifted = segment(box(np.ones((3, 4, 5), bool), (2, 2, 3)))  # shares two of three slices
    assert dices(result, mapped, cropped) == [1.0]
    assert dices(result, mapped, shifted) == [pytest.approx(2 / 3)]
    assert dices(result, shifted, mapped) == [pytest.approx(2 / 3)]


def test_probabilities_are_inside_from_half_on(result: Result) -> None:
    image = ImageReference("1.2.3")
    likely = segment(mask=np.array([[0.4, 0.5], [0.9, 0.0]], np.float32), image=image)
    drawn = segment(mask=np.array([[False, True], [True, False]]), image=image)
    assert dices(result, likely, drawn) == [1.0]
    assert dices(result, likely, replace(drawn, image=ImageReference("1.2.4"))) == [None]


def test_a_region_between_the_samples_of_the_other_cannot_be_compared(result: Result) -> None:
    one, two = box(np.ones((2, 2, 2), bool), (0, 0, 0)), box(np.ones((2, 2, 2), bool), (0, 0, 0))
    two.affine[0, 3] += 1.0  # a quarter of a slice
    assert dices(result, segment(one), segment(two)) == [None]


def test_a_region_that_only_one_has_agrees_in_nothing(result: Result) -> None:
    has = replace(result, segments=(segment(box(np.ones((2, 2, 2), bool), (0, 0, 0))),))
    (found,) = regions(has, replace(result, segments=()))
    assert (found.value, found.remark) == (0.0, "only the first has it")


def test_a_derived_volume_is_told_by_its_difference_and_where_that_is_largest(result: Result) -> None:
    (derived,) = result.derived
    array = derived.volume.array.astype(np.float32)
    other = array.copy()
    other[3] += 2.0
    changed = replace(result, derived=(replace(derived, volume=derived.volume.with_array(other)),))
    (found,) = volumes(result, changed)
    assert found.value == pytest.approx((4.0 / len(array)) ** 0.5)
    assert found.label == (derived.label or "derived volume")
    assert found.difference is not None
    np.testing.assert_allclose(found.difference, 2.0, atol=1e-3)
    short = replace(result, derived=(replace(derived, volume=derived.volume.with_array(other[1:])),))
    assert [each.value for each in volumes(result, short)] == [None]
    assert [each.remark for each in volumes(result, replace(result, derived=()))] == ["only the first has it"]
