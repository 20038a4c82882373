from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom.sr.codedict import codes as standard

from dicom_sr import codes
from dicom_sr.errors import EncodingError
from dicom_sr.findings import Heatmap, ImageReference, Result, Segment, Volume
from dicom_sr.read.stacks import read_stack, stacks
from tests.dicom_sr.conftest import Encode
from tests.factories import joint_result, knee_result, knee_study, radiograph_study

FORMS = ("segmentation_fractional", "segmentation_binary", "segmentation_labelmap")


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
    (ds,) = encoded(with_heat(tmp_path, heat), *FORMS)["segmentation_fractional"]
    assert (ds.SegmentationType, ds.SegmentationFractionalType, ds.MaximumFractionalValue) == (
        "FRACTIONAL",
        "PROBABILITY",
        255,
    )
    np.testing.assert_allclose(np.squeeze(ds.pixel_array) / 255, heat, atol=0.5 / 255 + 1e-6)
    assert "FrameOfReferenceUID" not in ds
    assert "Laterality" not in ds


def test_a_binary_segment_is_the_map_above_its_threshold(tmp_path: Path, heat: np.ndarray, encoded: Encode) -> None:
    objects = encoded(with_heat(tmp_path, heat), *FORMS)
    expected = heat >= 0.5
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(np.squeeze(objects["segmentation_binary"][0].pixel_array), expected)
    np.testing.assert_array_equal(np.squeeze(objects["segmentation_labelmap"][0].pixel_array), expected)


def test_a_segment_has_a_colour_a_type_and_a_model(tmp_path: Path, heat: np.ndarray, encoded: Encode) -> None:
    for form in FORMS:
        (ds,) = encoded(with_heat(tmp_path, heat), form)[form]
        segment = ds.SegmentSequence[-1]
        assert len(segment.RecommendedDisplayCIELabValue) == 3  # OHIF warns and takes its own colours without
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "130403"
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert segment.SegmentLabel == "SvH L MCP2"


def test_a_map_that_stays_under_its_threshold_makes_no_empty_binary_segment(
    tmp_path: Path, heat: np.ndarray, encoded: Encode
) -> None:
    objects = encoded(with_heat(tmp_path, 0.4 * heat), *FORMS)
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
