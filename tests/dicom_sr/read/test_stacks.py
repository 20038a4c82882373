from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_sr import phantoms
from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.headers import MANUFACTURER
from dicom_sr.read.stacks import read_stack, read_volume, sort_series, stacks
from dicom_sr.series import read_studies
from tests.factories import KNEE_SPACING_MM, SMALL_KNEE, as_written, changed, enhanced_mr, knee_series, knee_study

# a sagittal stack's normal points to the right, and the phantom's slices run to the left
VOXELS = phantoms.knee(SMALL_KNEE)[::-1]


def test_a_volume_has_the_phantoms_voxels_and_geometry(tmp_path: Path) -> None:
    volume = read_volume(knee_series(tmp_path))
    np.testing.assert_array_equal(volume.array, VOXELS)
    geometry = phantoms.knee_geometry(SMALL_KNEE, KNEE_SPACING_MM)
    for d, h, w in ((0, 0, 0), (1, 2, 3), (5, 23, 19)):
        expected = geometry @ np.array([SMALL_KNEE[0] - 1 - d, h, w, 1])
        np.testing.assert_allclose(volume.affine @ np.array([d, h, w, 1]), expected, atol=1e-5)


def test_slices_are_ordered_by_place_not_by_number(tmp_path: Path) -> None:
    def backwards(index: int, ds: Dataset) -> Dataset:
        ds.InstanceNumber = 100 - index
        return ds

    study = changed(knee_study(tmp_path), backwards)
    np.testing.assert_array_equal(read_volume(study.series[0]).array, VOXELS)


def test_echoes_become_stacks_of_their_own(tmp_path: Path) -> None:
    series = knee_study(tmp_path, echo_times_ms=(10.0, 70.0)).series[0]
    first, second = stacks(series)
    assert [first.label, second.label] == ["echo 1, TE 10.0 ms", "echo 2, TE 70.0 ms"]
    bright = read_stack(first).array
    # the phantom decays with 60 ms, so the second echo, 60 ms later, has 1/e
    faded = np.asarray(read_stack(second).array, np.float64)
    np.testing.assert_allclose(faded, np.asarray(bright, np.float64) / np.e, atol=0.6)


def test_a_gap_between_slices_is_said(tmp_path: Path) -> None:
    (stack,) = stacks(knee_series(tmp_path))
    assert stack.spacing_mm == pytest.approx(4.0)
    assert stack.thickness_mm == pytest.approx(3.0)
    assert stack.gap_mm == pytest.approx(1.0)


def refused(tmp_path: Path, change: Any) -> str:
    study = changed(knee_study(tmp_path), change)
    with pytest.raises(UnsuitableInput) as error:
        stacks(study.series[0])
    return str(error.value)


def set_on(index: int, **values: object) -> Callable[[int, Dataset], Dataset]:
    def change(at: int, ds: Dataset) -> Dataset:
        if at == index or index < 0:
            for keyword, value in values.items():
                setattr(ds, keyword, value)
        return ds

    return change


def test_a_missing_slice_is_refused(tmp_path: Path) -> None:
    # counted along the normal, from the left
    assert "missing after slice 3" in refused(tmp_path, lambda index, ds: None if index == 2 else ds)


def test_a_duplicate_position_is_refused(tmp_path: Path) -> None:
    position = [*np.array(phantoms.knee_geometry(SMALL_KNEE, KNEE_SPACING_MM)[:3, 3]).round(6)]
    assert "same position" in refused(tmp_path, set_on(1, ImagePositionPatient=position))


def test_uneven_spacing_is_refused(tmp_path: Path) -> None:
    def shifted(index: int, ds: Dataset) -> Dataset:
        if index == 3:
            ds.ImagePositionPatient = [float(ds.ImagePositionPatient[0]) + 0.5, *ds.ImagePositionPatient[1:]]
        return ds

    assert "spacing varies" in refused(tmp_path, shifted)


def test_slices_shifted_against_each_other_are_refused(tmp_path: Path) -> None:
    def sheared(index: int, ds: Dataset) -> Dataset:
        ds.ImagePositionPatient = [*ds.ImagePositionPatient[:2], float(ds.ImagePositionPatient[2]) + 2 * index]
        return ds

    assert "shifted" in refused(tmp_path, sheared)


def test_mixed_orientation_is_refused(tmp_path: Path) -> None:
    assert "not parallel" in refused(tmp_path, set_on(2, ImageOrientationPatient=["1", "0", "0", "0", "1", "0"]))


def test_too_few_slices_are_refused(tmp_path: Path) -> None:
    assert "at least 4" in refused(tmp_path, lambda index, ds: ds if index < 3 else None)


@pytest.mark.parametrize("frames", ["0", "-1", "-7"])
def test_a_number_of_frames_that_cannot_be_costs_no_slice(tmp_path: Path, frames: str) -> None:
    def odd(index: int, ds: Dataset) -> Dataset:
        if index == 1:
            as_written(ds, "NumberOfFrames", frames)
        return ds

    np.testing.assert_array_equal(read_volume(changed(knee_study(tmp_path), odd).series[0]).array, VOXELS)


def test_a_classic_slice_of_many_frames_is_refused_before_they_are_counted(tmp_path: Path) -> None:
    said = refused(tmp_path, set_on(1, NumberOfFrames=2_000_000_000))
    assert "does not hold the number of frames that the header gives a place, 1" in said


def test_a_localizer_of_many_frames_is_one_image_left_aside(tmp_path: Path) -> None:
    study = changed(
        knee_study(tmp_path), set_on(0, NumberOfFrames=2_000_000_000, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    )
    (remark,) = sort_series(study.series[0]).left_aside
    assert remark.sentence == "Left aside: 1 image (1), a localizer."


def test_an_enhanced_object_has_as_many_frames_as_it_describes(tmp_path: Path) -> None:
    series, _ = enhanced_mr(tmp_path)
    path = series.instances[0].path
    ds = pydicom.dcmread(path)
    ds.NumberOfFrames = 2_000_000_000
    ds.save_as(path)
    (study,) = read_studies([path])
    with pytest.raises(UnsuitableInput, match=r"NumberOfFrames of image .* gives a place, 5"):
        stacks(study.series[0])


def test_a_localizer_is_refused(tmp_path: Path) -> None:
    assert "localizer" in refused(tmp_path, set_on(-1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))


def test_a_derived_series_is_refused(tmp_path: Path) -> None:
    assert "derived" in refused(tmp_path, set_on(-1, ImageType=["DERIVED", "SECONDARY", "MPR"]))


def test_our_own_result_is_refused(tmp_path: Path) -> None:
    assert "result of this node" in refused(tmp_path, set_on(-1, Manufacturer=MANUFACTURER))


def test_an_image_without_a_place_is_refused(tmp_path: Path) -> None:
    assert "ImagePositionPatient" in refused(tmp_path, set_on(1, ImagePositionPatient=None))


def test_two_stacks_are_no_volume(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableInput, match="one stack, found 2"):
        read_volume(knee_study(tmp_path, echo_times_ms=(10.0, 20.0)).series[0])


def test_an_enhanced_object_is_read_frame_by_frame(tmp_path: Path) -> None:
    series, voxels = enhanced_mr(tmp_path, echo_times_ms=(10.0, 30.0))
    first, second = stacks(series)
    np.testing.assert_array_equal(read_stack(first).array, voxels[0] + 5)  # the intercept of every frame is 5
    np.testing.assert_array_equal(read_stack(second).array, voxels[1] + 5)
    np.testing.assert_allclose(first.affine[:3, 0], [0, 0, 3])  # frames lie 3 mm apart, towards the head
    np.testing.assert_allclose(first.affine[:3, 3], [10, 20, 30])
    # frames run from the last position to the first, echoes of a position together
    assert [reference.frame_number for reference in second.references] == [10, 8, 6, 4, 2]


def test_stored_values_are_given_where_slices_compare_and_real_ones_where_they_do_not(tmp_path: Path) -> None:
    series, voxels = enhanced_mr(tmp_path / "same")
    np.testing.assert_array_equal(read_stack(stacks(series)[0], stored=True).array, voxels[0])
    slopes = (1.0, 2.0, 1.0, 0.5, 1.0)
    series, voxels = enhanced_mr(tmp_path / "each", rescale_slopes=slopes)
    expected = voxels[0] * np.array(slopes)[:, None, None] + 5
    read = np.asarray(read_stack(stacks(series)[0], stored=True).array, np.float64)
    np.testing.assert_allclose(read, expected)


def test_slices_whose_least_value_is_white_are_turned_alike_whatever_their_slopes(tmp_path: Path) -> None:
    def white(index: int, ds: Dataset) -> Dataset:
        slope = 1 + index % 2
        ds.PixelData = np.full(ds.pixel_array.shape, 400 // slope, np.uint16).tobytes()
        ds.PhotometricInterpretation, ds.RescaleSlope, ds.RescaleIntercept = "MONOCHROME1", str(slope), "0"
        return ds

    array = read_volume(changed(knee_study(tmp_path), white).series[0]).array
    assert (array == 2 * 4095 - 400).all()  # the greatest that 12 bits hold with the greater slope


def test_a_stack_is_turned_where_the_shape_of_the_grey_scale_says_so_alone(tmp_path: Path) -> None:
    def inverse(_: int, ds: Dataset) -> Dataset:
        del ds.PhotometricInterpretation
        ds.PresentationLUTShape = "INVERSE"
        return ds

    series = changed(knee_study(tmp_path), inverse).series[0]
    (stack,) = stacks(series)
    for found in (read_volume(series), read_stack(stack, stored=True)):
        np.testing.assert_array_equal(found.array, 4095 - VOXELS)


def test_calculated_maps_are_left_out(tmp_path: Path) -> None:
    def second_half_are_maps(index: int, ds: Dataset) -> Dataset:
        if index % 2:
            ds.ImageType = ["DERIVED", "PRIMARY", "T2 MAP"]
        return ds

    study = changed(knee_study(tmp_path, echo_times_ms=(10.0, 20.0)), second_half_are_maps)
    (only,) = stacks(study.series[0])
    assert {float(one.header.EchoTime) for one in only.slices} == {10.0}


@pytest.mark.shared_data
def test_the_real_knee_has_its_four_echoes(shared_data: Path) -> None:
    (study,) = read_studies((shared_data / "mr" / "knee-mese-t2-ge").glob("*"))
    found = stacks(study.series[0])
    assert [len(stack.slices) for stack in found] == [24] * 4
    assert [round(float(stack.header.EchoTime), 1) for stack in found] == [6.3, 18.9, 31.6, 50.5]
    assert found[0].spacing_mm == pytest.approx(4.0, abs=1e-4)
    assert found[0].gap_mm == pytest.approx(1.0, abs=1e-4)
    first, last = (read_stack(found[index]).array for index in (0, 3))
    assert last.mean() < first.mean()  # T2 decay


@pytest.mark.shared_data
def test_real_enhanced_perfusion_frames_are_read(shared_data: Path) -> None:
    for name in ("siemens-011-0001.dcm", "agfa-011-0001.dcm"):
        (study,) = read_studies([shared_data / "mr" / "enhanced-agfa" / name])
        volume = read_volume(study.series[0])
        assert volume.array.shape == (25, 64, 64)
        assert volume.spacing_mm == pytest.approx((3.3, 3.28125, 3.28125), abs=1e-4)
