from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from dicom_sr import codes
from dicom_sr.findings import Finding, ImageReference, Result, Segment
from dicom_sr.profile import EncodingProfile, Kind
from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.segment_places import SegmentPlace, SegmentPlaces
from dicom_sr.write.encode import encode
from tests.dicom_sr import validators
from tests.dicom_sr.conftest import CREATED, Encode
from tests.dicom_sr.write.test_report import groups, named
from tests.factories import MODEL, joint_result, knee_study, radiograph_study

FORMS: tuple[Kind, ...] = ("segmentation_binary", "segmentation_fractional")


def on_a_volume(folder: Path) -> Result:
    """Two structures of a knee, one on three slices and one on a single slice, and one that was not found."""
    study = knee_study(folder)
    stack = stacks(study.series[0])[0]
    volume = read_stack(stack)
    masks = np.zeros((3, *volume.array.shape), np.bool_)
    masks[0, 1:4, 2:9, 3:9], masks[1, 2, 12:15, 4:8] = True, True
    names = ("Femur", "Patella", "Tibia")
    segments = tuple(
        Segment(name, standard.SCT.AnatomicalStructure, codes.KNEE, volume.with_array(mask.astype(np.float32)))
        for name, mask in zip(names, masks, strict=True)
    )
    findings = tuple(Finding(name, codes.KNEE, images=stack.references[:1]) for name in names)
    return Result(MODEL, "Knee bones", study.series, ("Bones found.",), findings, segments=segments)


def on_a_picture(folder: Path) -> Result:
    """A scored joint that is a segment too."""
    result = joint_result(radiograph_study(folder))
    mask = np.zeros((120, 96), np.float32)
    mask[20:40, 30:50] = 1
    image = ImageReference(result.instances[0].sop_instance_uid)
    bone = Segment(result.findings[0].tracking_id, standard.SCT.AnatomicalStructure, codes.HAND, image=image, mask=mask)
    return replace(result, segments=(bone,))


def segment_of_frame(seg: Dataset, frame: int) -> int:
    frames, shared = seg.PerFrameFunctionalGroupsSequence, seg.SharedFunctionalGroupsSequence[0]
    holder = shared if "SegmentIdentificationSequence" in shared else frames[frame - 1]
    return int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def referred(group: Dataset, concept: str) -> Dataset:
    (item,) = named(group, concept)
    found: Dataset = item.ReferencedSOPSequence[0]
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_segmented_finding_refers_to_its_segment(tmp_path: Path, encoded: Encode, form: Kind) -> None:
    result = on_a_volume(tmp_path / "in")
    objects = encoded(result, form, "report")
    (seg,) = objects[form]
    numbers = {one.SegmentLabel: one.SegmentNumber for one in seg.SegmentSequence}
    for report in objects["report"]:
        femur, patella, tibia = groups(report)
        assert [g.ContentTemplateSequence[0].TemplateIdentifier for g in (femur, patella, tibia)] == [
            "1411",
            "1411",
            "1410",
        ]
        for group, name, concept in ((femur, "Femur", "121191"), (patella, "Patella", "121191")):
            reference = referred(group, concept)
            assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
            assert reference.ReferencedSegmentNumber == numbers[name]
            (tracking,) = named(group, "112040")
            (segment,) = (one for one in seg.SegmentSequence if one.SegmentLabel == name)
            assert segment.TrackingUID == tracking.UID
            assert not [i for i in group.ContentSequence if i.ValueType == "SCOORD"]
        assert result.evidence[0].series_instance_uid == named(femur, "121232")[0].UID
        # what no pixel was found of has no segment: the border of its image stands for it
        assert [i.GraphicType for i in tibia.ContentSequence if i.ValueType == "SCOORD"] == ["POLYLINE"]


@pytest.mark.parametrize("form", FORMS)
def test_a_segment_of_a_single_image_is_referred_to_by_its_frame(tmp_path: Path, encoded: Encode, form: Kind) -> None:
    result = on_a_picture(tmp_path / "in")
    objects = encoded(result, form, "report")
    (seg,) = objects[form]
    for report in objects["report"]:
        (group,) = groups(report)
        assert group.ContentTemplateSequence[0].TemplateIdentifier == "1410"
        reference = referred(group, "121214")
        assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        segment = seg.SegmentSequence[segment_of_frame(seg, reference.ReferencedFrameNumber) - 1]
        assert segment.TrackingUID == named(group, "112040")[0].UID
        assert referred(group, "121233").ReferencedSOPInstanceUID == result.instances[0].sop_instance_uid


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (EncodingProfile(kinds=("segmentation_binary", "report"), segmented_regions="outline"), "the profile"),
        (EncodingProfile(kinds=("segmentation_labelmap", "report")), "dciodvfy knows no reference to a label map"),
        (EncodingProfile(kinds=("report",)), "no segmentation goes there"),
    ],
)
def test_a_destination_that_gets_no_segments_or_wants_outlines_gets_outlines(
    tmp_path: Path, encoded: Encode, profile: EncodingProfile, reason: str
) -> None:
    for report in encoded(on_a_picture(tmp_path / "in"), profile=profile)["report"]:
        (group,) = groups(report)
        assert [i.GraphicType for i in group.ContentSequence if i.ValueType == "SCOORD"] == ["POLYLINE"], reason


def test_a_report_with_outlines_is_another_object_than_one_with_segments(tmp_path: Path, encoded: Encode) -> None:
    kinds: tuple[Kind, ...] = ("segmentation_binary", "report")
    result = on_a_picture(tmp_path / "in")
    found = [
        encoded(result, profile=EncodingProfile(kinds=kinds, segmented_regions=form))["report"][0].SOPInstanceUID
        for form in ("segment", "outline")
    ]
    assert len(set(found)) == 2


@pytest.mark.validators
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("make", [on_a_volume, on_a_picture])
def test_reports_with_segments_are_valid_and_resolve(
    tmp_path: Path, encoded: Encode, make: Callable[[Path], Result], form: Kind
) -> None:
    result = make(tmp_path / "in")
    encoded(result, form, "report", "secondary_capture")
    objects = sorted((tmp_path / "objects").iterdir())
    assert validators.dciodvfy(tmp_path / "objects" / "report.dcm") == ([], [])
    assert validators.dcentvfy([*(one.path for one in result.instances), *objects])[0] == []


@pytest.mark.validators
def test_pixelmed_and_dcmqi_take_reports_with_segments(tmp_path: Path) -> None:
    volume = on_a_volume(tmp_path / "volume")
    results = {
        "found": replace(volume, findings=volume.findings[:2]),
        "picture": on_a_picture(tmp_path / "picture"),
        "mixed": volume,
    }
    paths = []
    for name, result in results.items():
        encode(result, EncodingProfile(kinds=("segmentation_binary", "report")), CREATED, tmp_path / name)
        paths.append(tmp_path / name / "report.dcm")
    found, picture, mixed = (validators.pixelmed(paths)[path][0] for path in paths)
    assert (found, picture) == ([], [])
    # where a report has groups of both templates, PixelMed holds each group to both of them
    alternatives = ("Template 1410 PlanarROIMeasurements/", "Template 1411 VolumetricROIMeasurements/")
    assert [e for e in mixed if not any(a in e for a in alternatives) or "onditional content item" not in e] == []
    for path in paths:
        values = ("--outputMetadata", tmp_path / "values.json")
        assert validators.exits_with_zero(validators.program("tid1500reader"), "--inputDICOM", path, *values) == []


def test_of_several_forms_the_binary_one_is_named_and_of_several_segments_none() -> None:
    def place(kind: Kind, uid: str) -> SegmentPlace:
        return SegmentPlace(kind, "1.2", uid, 1, (1,), "1.3", None, "1.4")

    places = SegmentPlaces()
    places.add("Femur", place("segmentation_fractional", "1"))
    places.add("Femur", place("segmentation_binary", "2"))
    places.add("Cyst", place("segmentation_binary", "3"))
    places.add("Cyst", place("segmentation_binary", "4"))
    written = {"1", "2", "3", "4"}
    found = places.of("Femur", written)
    assert found is not None
    assert found.sop_instance_uid == "2"
    assert places.of("Cyst", written) is None
    assert places.of("Tibia", written) is None
    left = places.of("Femur", written - {"2"})  # the binary one could not be written
    assert left is not None
    assert left.sop_instance_uid == "1"
