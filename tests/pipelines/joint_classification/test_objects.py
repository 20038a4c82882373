"""The result as DICOM objects: determined and undetermined, valid, in the study, on the frames that were read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from dicom_sr.codes import private
from dicom_sr.findings import Result
from dicom_sr.profile import EncodingProfile
from dicom_sr.series import read_studies
from dicom_sr.write.encode import EncodedObject, encode
from node.demo.samples import write_cine, write_finger, write_metacarpal
from pipelines.joint_classification import JointClassification, JointClassificationSettings
from pipelines.joint_classification.simulation.screen import show
from pipelines.joint_classification.simulation.unknown_ultrasound import simulate_unknown
from tests.dicom_sr.validators import dciodvfy, pixelmed

MOMENT = datetime(2026, 1, 5, 11, tzinfo=UTC)


@pytest.fixture(scope="module")
def determined(tmp_path_factory: pytest.TempPathFactory) -> Result:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("finger")
    write_finger(folder)
    return JointClassification(JointClassificationSettings()).run(read_studies(folder.glob("*.dcm"))[0])


@pytest.fixture(scope="module")
def undetermined(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("noise")
    shown = show(simulate_unknown(np.random.default_rng(5), "vessel", 0).image, size=(360, 440), pixel_mm=0.07)
    write_cine(folder / "US.dcm", shown.pixels[None], shown.box, shown.pixel_mm)
    return JointClassification(JointClassificationSettings()).run(read_studies(folder.glob("*.dcm"))[0])


def written(result: Result, folder: Path) -> dict[str, list[EncodedObject]]:
    found: dict[str, list[EncodedObject]] = {}
    for item in encode(result, EncodingProfile(), MOMENT, folder):
        found.setdefault(item.kind, []).append(item)
    return found


@pytest.mark.validators
@pytest.mark.parametrize("which", ["determined", "undetermined"])
def test_every_object_is_valid_and_lies_in_the_study(
    request: pytest.FixtureRequest, tmp_path: Path, which: str
) -> None:
    result: Result = request.getfixturevalue(which)
    objects = written(result, tmp_path)
    expected = {"secondary_capture", "report", "presentation_state", "key_objects"}
    if which == "determined":
        expected |= {"segmentation_binary", "segmentation_fractional"}
    assert set(objects) == expected
    for item in (item for items in objects.values() for item in items):
        ds = pydicom.dcmread(item.path)
        assert ds.StudyInstanceUID == result.evidence[0].study_instance_uid
        assert dciodvfy(item.path)[0] == []


@pytest.mark.validators
def test_pixelmeds_validator_passes_the_report_and_neither_an_image_nor_key_objects_without_one(
    determined: Result, tmp_path: Path
) -> None:
    objects = written(determined, tmp_path)
    report, note = objects["report"][0].path, tmp_path / "no-image.dcm"
    ds = pydicom.dcmread(objects["key_objects"][0].path)
    ds.ContentSequence = [item for item in ds.ContentSequence if item.ValueType != "IMAGE"]
    ds.save_as(note)
    image = determined.evidence[0].instances[0].path
    told = pixelmed([report, image, note])
    assert told[report][0] == []
    assert ["recognised no IOD" in line for line in told[image][0]] == [True]
    assert [line for line in told[note][0] if "IMAGE" in line and "Missing" in line]


def test_the_most_telling_frame_has_a_segmentation_that_names_it(determined: Result, tmp_path: Path) -> None:
    objects = written(determined, tmp_path)
    source = determined.evidence[0].instances[0]
    first = determined.flags[0].image.frame_number
    for kind in ("segmentation_binary", "segmentation_fractional"):
        (item,) = objects[kind]
        ds = pydicom.dcmread(item.path)
        (frame,) = ds.PerFrameFunctionalGroupsSequence
        image = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert image.ReferencedSOPInstanceUID == source.sop_instance_uid
        assert image.ReferencedSOPClassUID == source.sop_class_uid
        assert int(image.ReferencedFrameNumber) == first
        assert ds.SegmentSequence[0].SegmentLabel == f"Model attention L MCP2 RA frame {first}"
        assert ds.pixel_array.any()


def test_the_header_of_the_source_stays_as_it_was(determined: Result, tmp_path: Path) -> None:
    before = determined.evidence[0].headers[0].SOPClassUID
    written(determined, tmp_path)
    assert determined.evidence[0].headers[0].SOPClassUID == before
    assert int(determined.evidence[0].headers[0].NumberOfFrames) == 16


def test_the_same_result_gives_the_same_bytes(determined: Result, tmp_path: Path) -> None:
    one, two = (
        [item.sha256 for item in encode(determined, EncodingProfile(), MOMENT, tmp_path / folder)]
        for folder in ("one", "two")
    )
    assert one == two


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A simulated HR-pQCT of a metacarpal head with severe rheumatoid arthritis."""
    folder = tmp_path_factory.mktemp("head")
    write_metacarpal(folder)
    study = read_studies(folder.glob("*.dcm"))[0]
    pipeline = JointClassification(JointClassificationSettings())
    pipeline.check(study)
    return pipeline.run(study)


@pytest.mark.validators
def test_the_objects_of_an_hr_pqct_scan_are_valid_and_its_heat_lies_on_its_slices(head: Result, tmp_path: Path) -> None:
    site = head.findings[0].site
    assert site is not None
    assert site.modifier == private("SITE-MCP2")
    objects = written(head, tmp_path)
    assert {"secondary_capture", "report", "key_objects"} <= set(objects)
    for item in (item for items in objects.values() for item in items):
        assert dciodvfy(item.path)[0] == []
    slices = {instance.sop_instance_uid for instance in head.evidence[0].instances}
    for segment in head.segments:
        assert segment.volume is not None
        assert segment.volume.array.shape[1:] == (128, 128)
        ds = pydicom.dcmread(objects["segmentation_fractional"][0].path)
        (series,) = ds.ReferencedSeriesSequence
        assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} <= slices
