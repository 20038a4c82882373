from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.uid import UltrasoundMultiFrameImageStorage

from dicom_sr import codes
from dicom_sr.errors import EncodingError
from dicom_sr.findings import Heatmap, ImageReference, Result, Segment, Volume
from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.series import Study
from tests.dicom_sr import validators
from tests.dicom_sr.conftest import Encode
from tests.dicom_sr.segments import FORMS, assert_shows
from tests.factories import (
    changed,
    cine_study,
    enhanced_mr,
    joint_result,
    knee_result,
    knee_study,
    radiograph_study,
)

KINDS = tuple(f"segmentation_{form}" for form in FORMS)


@pytest.fixture
def heat() -> np.ndarray:
    """A map on a radiograph of 120 x 96, highest at row 20, column 70."""
    y, x = np.mgrid[0:120, 0:96]
    return np.asarray(np.exp(-(((y - 20) / 9) ** 2 + ((x - 70) / 5) ** 2)), np.float32)


def with_heat(tmp_path: Path, heat: np.ndarray) -> Result:
    study = radiograph_study(tmp_path / "in")
    reference = ImageReference(study.instances[0].sop_instance_uid)
    return replace(joint_result(study), heatmaps=(Heatmap(reference, heat, codes.GRAD_CAM, "SvH L MCP2", 0.5),))


def test_a_fractional_segment_keeps_the_probability(tmp_path: Path, heat: np.ndarray, encoded: Encode) -> None:
    (ds,) = encoded(with_heat(tmp_path, heat), *KINDS)["segmentation_fractional"]
    assert (ds.SegmentationType, ds.SegmentationFractionalType, ds.MaximumFractionalValue) == (
        "FRACTIONAL",
        "PROBABILITY",
        255,
    )
    np.testing.assert_allclose(np.squeeze(ds.pixel_array) / 255, heat, atol=0.5 / 255 + 1e-6)
    assert "FrameOfReferenceUID" not in ds
    assert "Laterality" not in ds


def test_a_binary_segment_is_the_map_above_its_threshold(tmp_path: Path, heat: np.ndarray, encoded: Encode) -> None:
    objects = encoded(with_heat(tmp_path, heat), *KINDS)
    expected = heat >= 0.5
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(np.squeeze(objects["segmentation_binary"][0].pixel_array), expected)
    np.testing.assert_array_equal(np.squeeze(objects["segmentation_labelmap"][0].pixel_array), expected)


def test_a_segment_has_a_colour_a_type_and_a_model(tmp_path: Path, heat: np.ndarray, encoded: Encode) -> None:
    for kind in KINDS:
        (ds,) = encoded(with_heat(tmp_path, heat), kind)[kind]
        segment = ds.SegmentSequence[-1]
        assert len(segment.RecommendedDisplayCIELabValue) == 3  # OHIF warns and takes its own colours without
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "130403"
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert segment.SegmentLabel == "SvH L MCP2"


def test_a_map_that_stays_under_its_threshold_makes_no_empty_binary_segment(
    tmp_path: Path, heat: np.ndarray, encoded: Encode
) -> None:
    objects = encoded(with_heat(tmp_path, 0.4 * heat), *KINDS)
    assert "segmentation_fractional" in objects
    assert "segmentation_binary" not in objects


def test_a_volume_lies_slice_by_slice_on_the_images_of_its_grid(tmp_path: Path, encoded: Encode) -> None:
    study = knee_study(tmp_path / "in")
    (stack,) = stacks(study.series[0])
    volume = read_stack(stack)
    mask = np.asarray(volume.array) > 800
    segment = Segment("Cartilage", standard.SCT.AnatomicalStructure, codes.KNEE, volume.with_array(mask))
    encoded(replace(knee_result(study), derived=(), segments=(segment,)), "segmentation_binary")
    seg = hd.seg.segread(tmp_path / "objects" / "segmentation-binary-1.dcm")
    order = [one.instance.sop_instance_uid for one in stack.slices]
    read = seg.get_pixels_by_source_instance(order, ignore_spatial_locations=True, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(read[..., 0], mask)


def test_a_segment_may_lie_on_the_derived_grid(tmp_path: Path, encoded: Encode) -> None:
    result = knee_result(knee_study(tmp_path / "in"))
    volume = result.derived[0].volume
    segment = Segment(
        "Bright", standard.SCT.AnatomicalStructure, codes.KNEE, volume.with_array(np.asarray(volume.array) > 800)
    )
    objects = encoded(replace(result, segments=(segment,)), "derived_series", "segmentation_binary")
    slices = {ds.SOPInstanceUID: ds for ds in objects["derived_series"]}
    (ds,) = objects["segmentation_binary"]
    for frame, plane in zip(ds.PerFrameFunctionalGroupsSequence, ds.pixel_array, strict=True):
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        np.testing.assert_array_equal(plane, slices[source].pixel_array > 800)


def test_a_segment_on_no_grid_of_the_result_is_refused(tmp_path: Path, encoded: Encode) -> None:
    result = knee_result(knee_study(tmp_path / "in"))
    lost = Segment("Lost", standard.SCT.AnatomicalStructure, codes.KNEE, Volume(np.ones((2, 3, 4), bool), np.eye(4)))
    with pytest.raises(EncodingError, match="no series"):
        encoded(replace(result, segments=(lost,)), "derived_series", "segmentation_binary")


def test_of_overlapping_labels_the_more_probable_one_has_the_pixel(
    tmp_path: Path, heat: np.ndarray, encoded: Encode
) -> None:
    result = with_heat(tmp_path, heat)
    (first,) = result.heatmaps
    second = replace(first, array=np.roll(heat, 6, axis=1), label="SvH L MCP3")
    (ds,) = encoded(replace(result, heatmaps=(first, second)), "segmentation_labelmap")["segmentation_labelmap"]
    labels = np.squeeze(ds.pixel_array)
    assert (labels[20, 70], labels[20, 76], labels[100, 10]) == (1, 2, 0)
    assert labels[20, 72] == 1
    assert labels[20, 75] == 2


# ---- on frames
Maps = dict[tuple[str, int | None], np.ndarray]  # by label and frame number


def map_of(shape: tuple[int, int], row: int, column: int) -> np.ndarray:
    """A map with one pixel above the threshold and one below it."""
    found = np.zeros(shape, np.float32)
    found[row, column], found[row, column + 1] = 0.8, 0.3
    return found


def on_frames(study: Study, tmp_path: Path, maps: Maps) -> Result:
    """A result with a heatmap for each label and frame number, on the only image of a study."""
    (instance,) = study.instances
    heatmaps = tuple(
        Heatmap(ImageReference(instance.sop_instance_uid, number), array, codes.GRAD_CAM, label)
        for (label, number), array in maps.items()
    )
    result = replace(knee_result(knee_study(tmp_path / "knee")), derived=(), findings=(), evidence=study.series)
    return replace(result, heatmaps=heatmaps)


@pytest.mark.validators
@pytest.mark.parametrize("form", FORMS)
def test_maps_of_a_cine_lie_on_their_frames(tmp_path: Path, form: str, encoded: Encode) -> None:
    study = cine_study(tmp_path / "in")
    uid = study.instances[0].sop_instance_uid
    maps: Maps = {("A", 2): map_of((7, 9), 1, 1), ("B", 4): map_of((7, 9), 2, 5), ("C", 2): map_of((7, 9), 5, 3)}
    objects = encoded(on_frames(study, tmp_path, maps), f"segmentation_{form}")[f"segmentation_{form}"]
    assert len(objects) == 2  # one for each frame: only by its references does it tell which
    assert_shows(form, objects, {(label, uid, number): array for (label, number), array in maps.items()})
    for ds in objects:
        assert ds.NumberOfFrames == len(ds.PerFrameFunctionalGroupsSequence)
        (source,) = ds.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPClassUID == UltrasoundMultiFrameImageStorage
        assert "FrameOfReferenceUID" not in ds
    for path in (tmp_path / "objects").glob("*.dcm"):
        assert validators.dciodvfy(path) == ([], [])


@pytest.mark.parametrize("form", FORMS)
def test_a_map_without_a_number_lies_on_the_first_frame(tmp_path: Path, form: str, encoded: Encode) -> None:
    for frames in (1, 5):
        study = cine_study(tmp_path / f"{frames}", (frames, 7, 9))
        array = map_of((7, 9), 3, 4)
        result = on_frames(study, tmp_path / f"{frames}", {("A", None): array})
        objects = encoded(result, f"segmentation_{form}")[f"segmentation_{form}"]
        assert_shows(form, objects, {("A", study.instances[0].sop_instance_uid, 1): array})


@pytest.mark.validators
@pytest.mark.parametrize("form", FORMS)
def test_a_frame_of_reference_without_positions_is_no_place(tmp_path: Path, form: str, encoded: Encode) -> None:
    def refer(_: int, ds: Dataset) -> Dataset:
        ds.FrameOfReferenceUID = "1.2.3"
        return ds

    film = changed(radiograph_study(tmp_path / "film"), refer)
    cine = changed(cine_study(tmp_path / "cine"), refer)
    for study, number, shape in ((film, None, (120, 96)), (cine, 3, (7, 9))):
        array = map_of(shape, 3, 4)
        result = on_frames(study, tmp_path / str(number), {("A", number): array})
        objects = encoded(result, f"segmentation_{form}")[f"segmentation_{form}"]
        assert_shows(form, objects, {("A", study.instances[0].sop_instance_uid, number): array})
        assert validators.dciodvfy(tmp_path / "objects" / f"segmentation-{form}-1.dcm") == ([], [])


@pytest.mark.validators
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("echo_times_ms", [(10.0,), (10.0, 20.0)])
def test_maps_of_an_enhanced_image_lie_on_their_frames(
    tmp_path: Path, form: str, echo_times_ms: tuple[float, ...], encoded: Encode
) -> None:
    series, _ = enhanced_mr(tmp_path / "in", echo_times_ms=echo_times_ms)
    study = Study(series.study_instance_uid, (series,))
    maps: Maps = {("A", 3): map_of((8, 6), 1, 1), ("B", 1): map_of((8, 6), 2, 3), ("C", 4): map_of((8, 6), 7, 0)}
    objects = encoded(on_frames(study, tmp_path, maps), f"segmentation_{form}")[f"segmentation_{form}"]
    assert len(objects) == len(echo_times_ms)  # no object has two frames at one place
    uid = study.instances[0].sop_instance_uid
    assert_shows(form, objects, {(label, uid, number): array for (label, number), array in maps.items()})
    for path in (tmp_path / "objects").glob("*.dcm"):
        assert validators.dciodvfy(path) == ([], [])


def test_frames_that_are_not_parallel_share_no_object(tmp_path: Path, encoded: Encode) -> None:
    def turn(_: int, ds: Dataset) -> Dataset:
        shared = ds.SharedFunctionalGroupsSequence[0]
        for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence, start=1):
            frame.PlaneOrientationSequence = copy.deepcopy(shared.PlaneOrientationSequence)
            if number > 3:
                frame.PlaneOrientationSequence[0].ImageOrientationPatient = ["0", "1", "0", "0", "0", "-1"]
        del shared.PlaneOrientationSequence
        return ds

    series, _ = enhanced_mr(tmp_path / "in")
    study = changed(Study(series.study_instance_uid, (series,)), turn)
    maps: Maps = {("A", 2): map_of((8, 6), 1, 1), ("B", 4): map_of((8, 6), 2, 3)}
    objects = encoded(on_frames(study, tmp_path, maps), "segmentation_binary")["segmentation_binary"]
    uid = study.instances[0].sop_instance_uid
    assert_shows("binary", objects, {(label, uid, number): array for (label, number), array in maps.items()})
    turned = [ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0] for ds in objects]
    assert [list(one.ImageOrientationPatient) for one in turned] == [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1]]


def test_a_frame_that_an_image_has_not_is_refused(tmp_path: Path, encoded: Encode) -> None:
    study = cine_study(tmp_path / "in")
    with pytest.raises(EncodingError, match="has no frame 6"):
        encoded(on_frames(study, tmp_path, {("A", 6): map_of((7, 9), 1, 1)}), "segmentation_binary")


@pytest.mark.parametrize("form", FORMS)
def test_a_pixel_that_is_no_number_costs_no_other(tmp_path: Path, form: str, encoded: Encode) -> None:
    study, array = cine_study(tmp_path / "in"), map_of((7, 9), 1, 1)
    spoilt = array.copy()
    spoilt[5, 5] = np.nan
    objects = encoded(on_frames(study, tmp_path, {("A", 2): spoilt}), f"segmentation_{form}")[f"segmentation_{form}"]
    assert_shows(form, objects, {("A", study.instances[0].sop_instance_uid, 2): array})
