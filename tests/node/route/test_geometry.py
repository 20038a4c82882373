"""Planes of a series, checked against stacks whose spacing and direction are known."""

from __future__ import annotations

import math
from typing import Any

import pytest

from node.route.geometry import geometry
from tests.node.route.headers import enhanced, header

AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
CORONAL = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]
SAGITTAL = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]


@pytest.mark.parametrize(("cosines", "plane"), [(AXIAL, "axial"), (CORONAL, "coronal"), (SAGITTAL, "sagittal")])
def test_the_plane_is_named_by_the_axis_that_its_normal_is_nearest_to(cosines: Any, plane: str) -> None:
    assert geometry([header(ImageOrientationPatient=cosines)]).orientation == plane


def test_a_tilted_stack_keeps_the_name_of_its_nearest_plane_and_its_spacing_is_along_the_normal() -> None:
    tilt = math.radians(20)
    cosines = [1.0, 0.0, 0.0, 0.0, math.cos(tilt), math.sin(tilt)]
    normal = (0.0, -math.sin(tilt), math.cos(tilt))
    stack = [
        header(ImageOrientationPatient=cosines, ImagePositionPatient=[5 + 3.5 * n * c for c in normal])
        for n in range(6)
    ]
    found = geometry(stack)
    assert found.orientation == "axial"
    assert found.spacing_mm == pytest.approx(3.5, abs=1e-6)  # not 3.5 / cos(20 degrees), the distance along z


def test_slices_at_45_degrees_have_one_name_although_each_alone_might_have_another() -> None:
    half = math.sqrt(0.5)
    stack = [
        header(n, ImageOrientationPatient=[-half - wobble, half - wobble, 0.0, 0.0, 0.0, -1.0])
        for n, wobble in enumerate((1e-4, -1e-4) * 4)
    ]
    assert geometry(stack).orientation in ("sagittal", "coronal")


def test_echoes_at_the_same_places_are_counted_once() -> None:
    stack = [header(number, EchoNumbers=echo) for number in range(1, 6) for echo in (1, 2, 3)]
    found = geometry(stack)
    assert (found.slices, found.spacing_mm) == (5, 4.0)


def test_the_order_of_the_files_does_not_matter() -> None:
    numbers = (4, 1, 5, 2, 3)
    assert geometry([header(number) for number in numbers]) == geometry([header(n) for n in sorted(numbers)])


def test_one_missing_slice_does_not_change_the_spacing_of_the_rest() -> None:
    assert geometry([header(number) for number in (1, 2, 3, 5, 6, 7)]).spacing_mm == 4.0


def test_a_scout_with_three_directions_is_mixed() -> None:
    assert geometry([header(ImageOrientationPatient=c) for c in (AXIAL, CORONAL, SAGITTAL)]).orientation == "mixed"


def test_frames_of_an_enhanced_object_are_slices_with_the_orientation_of_the_shared_groups() -> None:
    found = geometry([enhanced(frames=7, spacing_mm=2.5)])
    assert (found.orientation, found.slices, found.spacing_mm) == ("axial", 7, 2.5)


def test_images_without_planes_say_nothing() -> None:
    found = geometry([header(ImagePositionPatient=None, ImageOrientationPatient=None)])
    assert (found.orientation, found.slices, found.spacing_mm) == (None, 0, None)
