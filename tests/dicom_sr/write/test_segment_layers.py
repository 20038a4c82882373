from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from dicom_sr import codes
from dicom_sr.errors import EncodingError
from dicom_sr.findings import ImageReference, Segment, Volume
from dicom_sr.profile import EncodingProfile
from dicom_sr.read.stacks import Stack, read_stack, stacks
from dicom_sr.series import Study
from dicom_sr.write.encode import encode
from tests.dicom_sr import validators
from tests.dicom_sr.conftest import CREATED, Encode
from tests.dicom_sr.segments import FORMS, assert_shows
from tests.factories import changed, enhanced_mr, knee_result, knee_study, radiograph_study

WHAT = (standard.SCT.AnatomicalStructure, codes.KNEE)


def of_knee(tmp_path: Path, shape: tuple[int, int, int] = (6, 20, 16)) -> tuple[Study, Stack, Volume]:
    study = knee_study(tmp_path / "in", shape)
    (stack,) = stacks(study.series[0])
    return study, stack, read_stack(stack)


def pixels(path: Path, stack: Stack) -> np.ndarray:
    """What highdicom reads back: (D, H, W, segments) on the slices of the stack."""
    order = [one.instance.sop_instance_uid for one in stack.slices]
    segmentation = hd.seg.segread(path)
    return segmentation.get_pixels_by_source_instance(
        order, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )


def test_segments_share_a_label_map_in_which_each_has_its_value(tmp_path: Path, encoded: Encode) -> None:
    study, stack, volume = of_knee(tmp_path)
    labels = np.zeros(volume.array.shape, np.uint8)
    labels[1:3, 2:9, 3:7], labels[2:5, 12:18, 8:15], labels[4, 0, 0] = 7, 3, 9  # 9 is nobody's
    shared = volume.with_array(labels)
    segments = tuple(Segment(f"Label {value}", *WHAT, shared, label_value=value) for value in (3, 7, 200))
    objects = encoded(
        replace(knee_result(study), derived=(), segments=segments), "segmentation_binary", "segmentation_labelmap"
    )
    (binary,), (label_map,) = objects["segmentation_binary"], objects["segmentation_labelmap"]
    assert [one.SegmentLabel for one in binary.SegmentSequence] == ["Label 3", "Label 7"]  # nothing has the value 200
    assert binary.SegmentsOverlap == "NO"
    read = pixels(tmp_path / "objects" / "segmentation-binary-1.dcm", stack)
    np.testing.assert_array_equal(read, np.stack([labels == 3, labels == 7], axis=-1))
    assert len(label_map.PerFrameFunctionalGroupsSequence) == 4  # the slices on which something is
    read = pixels(tmp_path / "objects" / "segmentation-labelmap-1.dcm", stack)
    np.testing.assert_array_equal(read, np.stack([labels == 3, labels == 7, labels == 200], axis=-1))


@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float32])
def test_a_label_map_may_be_of_any_kind_of_number(tmp_path: Path, dtype: type, encoded: Encode) -> None:
    study, stack, volume = of_knee(tmp_path)
    labels: np.ndarray = np.zeros(volume.array.shape, dtype)
    labels[2:4, 5:9, 6:9] = 2
    segment = Segment("Two", *WHAT, volume.with_array(labels), label_value=2)
    kinds = ("segmentation_binary", "segmentation_fractional")
    objects = encoded(replace(knee_result(study), derived=(), segments=(segment,)), *kinds)
    assert list(objects) == ["segmentation_binary"]  # a label is no probability
    read = pixels(tmp_path / "objects" / "segmentation-binary-1.dcm", stack)
    np.testing.assert_array_equal(read[..., 0], labels == 2)


def test_a_label_map_of_a_picture_is_shared_as_well(tmp_path: Path, encoded: Encode) -> None:
    study = radiograph_study(tmp_path / "in")
    image = ImageReference(study.instances[0].sop_instance_uid)
    labels = np.zeros((120, 96), np.uint8)
    labels[10:20, 30:40], labels[50:60, 5:9] = 1, 2
    segments = tuple(Segment(f"Bone {n}", *WHAT, image=image, mask=labels, label_value=n) for n in (1, 2))
    result = replace(knee_result(knee_study(tmp_path / "knee")), derived=(), findings=(), evidence=study.series)
    (ds,) = encoded(replace(result, segments=segments), "segmentation_binary")["segmentation_binary"]
    np.testing.assert_array_equal(ds.pixel_array, np.stack([labels == 1, labels == 2]))


def test_the_value_of_the_background_is_no_segment(tmp_path: Path, encoded: Encode) -> None:
    study, _, volume = of_knee(tmp_path)
    segment = Segment("Nothing", *WHAT, volume.with_array(np.zeros(volume.array.shape, np.uint8)), label_value=0)
    with pytest.raises(EncodingError, match="background"):
        encoded(replace(knee_result(study), derived=(), segments=(segment,)), "segmentation_binary")


def box_of(volume: Volume, corner: tuple[int, int, int], array: np.ndarray) -> Volume:
    affine = volume.affine.copy()
    affine[:, 3] = volume.affine @ [*corner, 1]
    return Volume(array, affine)


def test_a_segment_may_be_cropped_to_its_box(tmp_path: Path, encoded: Encode) -> None:
    study, stack, volume = of_knee(tmp_path)
    box = box_of(volume, (2, 5, 4), np.ones((3, 6, 7), bool))
    far = box_of(volume, (5, 14, 9), np.full((1, 6, 7), 0.75, np.float32))
    segments = (Segment("Box", *WHAT, box), Segment("Corner", *WHAT, far))
    objects = encoded(replace(knee_result(study), derived=(), segments=segments), "segmentation_binary")
    expected = np.zeros((*volume.array.shape, 2), bool)
    expected[2:5, 5:11, 4:11, 0] = expected[5, 14:20, 9:16, 1] = True
    (ds,) = objects["segmentation_binary"]  # one object, though they lie on other slices
    assert len(ds.SourceImageSequence) == 4
    read = pixels(tmp_path / "objects" / "segmentation-binary-1.dcm", replace(stack, slices=stack.slices[2:]))
    np.testing.assert_array_equal(read, expected[2:])


def test_a_box_that_leaves_the_images_or_is_turned_is_on_no_grid(tmp_path: Path, encoded: Encode) -> None:
    study, _, volume = of_knee(tmp_path, (6, 16, 16))
    result = replace(knee_result(study), derived=())
    turned = replace(volume, affine=volume.affine[:, [0, 2, 1, 3]], array=np.ones((6, 16, 16), bool))
    between = box_of(volume, (0, 0, 0), np.ones((6, 4, 4), bool))
    between.affine[:3, 3] += 0.4 * volume.affine[:3, 1]
    for lost in (box_of(volume, (0, 12, 12), np.ones((6, 6, 4), bool)), turned, between):
        with pytest.raises(EncodingError, match="no series"):
            encoded(replace(result, segments=(Segment("Lost", *WHAT, lost),)), "segmentation_binary")


def two_segments(volume: Volume) -> tuple[Segment, ...]:
    """Probabilities on the whole grid and on a box of it, which share one of their planes."""
    whole, box = np.zeros(volume.array.shape, np.float32), np.zeros((2, 3, 2), np.float32)
    whole[1, 2:5, 1:3], whole[3, 6, 4] = 0.9, 0.2
    box[0, 1, 1], box[1, 2, 0] = 0.6, 0.8
    return (Segment("Whole", *WHAT, volume.with_array(whole)), Segment("Box", *WHAT, box_of(volume, (2, 4, 3), box)))


def assert_two_segments(form: str, objects: list[Dataset], planes: Sequence[ImageReference]) -> None:
    """Those of `two_segments`, on the planes of a stack of 5 or more in the order of its volume."""
    rows, columns = int(objects[0].Rows), int(objects[0].Columns)
    wanted = {}
    for label, d, where, value in (
        ("Whole", 1, np.s_[2:5, 1:3], 0.9),
        ("Whole", 3, np.s_[6, 4], 0.2),
        ("Box", 2, np.s_[5, 4], 0.6),
        ("Box", 3, np.s_[6, 3], 0.8),
    ):
        plane = np.zeros((rows, columns), np.float32)
        plane[where] = value
        if form == "fractional" or plane.max() >= 0.5:
            wanted[(label, planes[d].sop_instance_uid, planes[d].frame_number)] = plane
    assert_shows(form, objects, wanted)


@pytest.mark.validators
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("echo_times_ms", [(10.0,), (10.0, 20.0)])
def test_segments_lie_on_the_frames_of_an_enhanced_image(
    tmp_path: Path, form: str, echo_times_ms: tuple[float, ...], encoded: Encode
) -> None:
    series, _ = enhanced_mr(tmp_path / "in", echo_times_ms=echo_times_ms)
    first = stacks(series)[0]  # of several echoes at a place the first one carries a segment
    result = replace(knee_result(Study(series.study_instance_uid, (series,))), derived=(), findings=())
    segments = two_segments(read_stack(stacks(series)[-1]))
    objects = encoded(replace(result, segments=segments), f"segmentation_{form}")[f"segmentation_{form}"]
    assert len(objects) == 1
    assert_two_segments(form, objects, first.references)
    assert validators.dciodvfy(tmp_path / "objects" / f"segmentation-{form}-1.dcm") == ([], [])


@pytest.mark.parametrize("form", FORMS)
def test_segments_lie_on_the_images_of_the_first_of_several_echoes(tmp_path: Path, form: str, encoded: Encode) -> None:
    study = knee_study(tmp_path / "in", echo_times_ms=(10.0, 20.0, 30.0))
    found = stacks(study.series[0])
    result = replace(knee_result(study), derived=(), segments=two_segments(read_stack(found[1])))
    objects = encoded(result, f"segmentation_{form}")[f"segmentation_{form}"]
    assert len(objects) == 1
    numbers = {str(h.SOPInstanceUID): int(h.InstanceNumber) for h in study.series[0].headers}
    first = min(found, key=lambda stack: min(numbers[one.sop_instance_uid] for one in stack.references))
    assert_two_segments(form, objects, first.references)


def test_segments_lie_on_images_that_do_not_say_how_thick_they_are(tmp_path: Path, encoded: Encode) -> None:
    def without(_: int, ds: Dataset) -> Dataset:
        del ds.SliceThickness
        return ds

    study = changed(knee_study(tmp_path / "in"), without)
    (stack,) = stacks(study.series[0])
    volume = read_stack(stack)
    result = replace(knee_result(study), derived=(), segments=two_segments(volume))
    objects = encoded(result, "segmentation_binary")["segmentation_binary"]
    assert_two_segments("binary", objects, stack.references)
    measures = objects[0].SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == pytest.approx(volume.spacing_mm[0])


def test_segments_lie_on_an_enhanced_image_that_names_no_frame_of_reference(tmp_path: Path, encoded: Encode) -> None:
    def without(_: int, ds: Dataset) -> Dataset:
        del ds.FrameOfReferenceUID
        return ds

    made, _ = enhanced_mr(tmp_path / "in")
    study = changed(Study(made.study_instance_uid, (made,)), without)
    (stack,) = stacks(study.series[0])
    result = replace(knee_result(study), derived=(), findings=(), segments=two_segments(read_stack(stack)))
    objects = encoded(result, "segmentation_binary")["segmentation_binary"]
    assert_two_segments("binary", objects, stack.references)
    assert objects[0].FrameOfReferenceUID


@pytest.mark.validators
def test_dcmqi_and_dciodvfy_take_segments_of_a_label_map(tmp_path: Path, encoded: Encode) -> None:
    study, _, volume = of_knee(tmp_path)
    labels = np.zeros(volume.array.shape, np.uint8)
    labels[1:3, 2:9, 3:7], labels[2:5, 12:18, 8:15] = 7, 3
    shared = volume.with_array(labels)
    segments = tuple(Segment(f"Label {value}", *WHAT, shared, label_value=value) for value in (3, 7))
    encoded(replace(knee_result(study), derived=(), segments=segments), "segmentation_binary", "segmentation_labelmap")
    for form in ("binary", "labelmap"):
        path, folder = tmp_path / "objects" / f"segmentation-{form}-1.dcm", tmp_path / form
        folder.mkdir()
        assert validators.dciodvfy(path) == ([], [])
        reader = validators.program("segimage2itkimage")
        assert validators.exits_with_zero(reader, "--inputDICOM", path, "--outputDirectory", folder) == []
        images = [SimpleITK.ReadImage(str(one)) for one in sorted(folder.glob("*.nrrd"))]
        read = np.concatenate([SimpleITK.GetArrayFromImage(one).ravel() for one in images])
        # dcmqi numbers segments from 1; what it takes for one volume it may write as one image or as several
        assert sorted(np.unique(read[read > 0], return_counts=True)[1]) == sorted(
            [(labels == 3).sum(), (labels == 7).sum()]
        )
        first = images[0]
        assert tuple(first.GetSpacing()) == pytest.approx(tuple(reversed(volume.spacing_mm)), rel=1e-4)


def test_many_segments_of_a_label_map_need_no_array_each(tmp_path: Path) -> None:
    study, _, volume = of_knee(tmp_path, (24, 128, 128))
    labels = np.arange(24 * 128 * 128).reshape(volume.array.shape) * 60 // (24 * 128 * 128) + 1  # 1 to 60
    shared = volume.with_array(labels.astype(np.uint8))
    segments = tuple(Segment(f"Part {n}", *WHAT, shared, label_value=n) for n in range(1, 61))
    result = replace(knee_result(study), derived=(), segments=segments)
    profile = EncodingProfile(kinds=("segmentation_binary",))
    encode(result, profile, CREATED, tmp_path / "first")  # what is imported and kept on the way
    tracemalloc.start()
    try:
        (one,) = encode(result, profile, CREATED, tmp_path / "second")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    of_their_own = labels.size * len(segments)  # bytes of a mask each
    assert one.size > 50_000
    assert peak < of_their_own / 4
