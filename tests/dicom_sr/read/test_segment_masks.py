"""An edited segmentation tells overlap and volume by segment; one for which nobody stands says nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.sr.codedict import codes as standard
from pydicom.uid import generate_uid

from dicom_sr import codes
from dicom_sr.assessment import Answer, Change
from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Segment
from dicom_sr.profile import EncodingProfile
from dicom_sr.read import segment_masks
from dicom_sr.read.edited_reports import NotAnEdit
from dicom_sr.read.segment_masks import edited_segments
from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.write.encode import encode
from node.reading import messages
from node.verdicts.reading import segments_at
from pipelines.example import CREATED
from tests.factories import knee_result, knee_study
from tests.workstation import READER, content_of, redrawn


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """A block of 3 x 8 x 6 voxels of a knee as a segment, binary and fractional."""
    folder: Path = tmp_path_factory.mktemp("segmentation")
    study = knee_study(folder / "in")
    volume = read_stack(stacks(study.series[0])[0])
    mask = np.zeros(volume.array.shape, bool)
    mask[1:4, 4:12, 5:11] = True
    found: dict[str, Dataset] = {}
    for kind, array in (("segmentation_binary", mask), ("segmentation_fractional", 0.9 * mask.astype(np.float32))):
        block = Segment("Bone", standard.SCT.AnatomicalStructure, codes.KNEE, volume.with_array(array))
        result = replace(knee_result(study), segments=(block,), derived=())
        profile = EncodingProfile(kinds=(kind,))  # type: ignore[arg-type]
        (one,) = encode(result, profile, CREATED, folder / kind)
        found[kind] = pydicom.dcmread(one.path)
    return found


def said(ours: Dataset, theirs: Dataset) -> Any:
    document = edited_segments(content_of(ours), content_of(theirs), lambda: None)
    if document is None:
        return None
    back = messages.answer(segments_at, messages.returned(segments_at, document))  # as it comes out of a reader process
    assert back == document
    return document


def half(frames: np.ndarray) -> None:
    frames[:, 8:, :] = 0


@pytest.mark.parametrize("kind", ["segmentation_binary", "segmentation_fractional"])
def test_a_segment_that_was_cut_in_half_has_its_overlap_and_its_volumes(made: dict[str, Dataset], kind: str) -> None:
    ours = made[kind]
    document = said(ours, redrawn(ours, half))
    (one,) = document.assessments
    assert (one.answer, one.tracking_id, one.object_uids) == (Answer.MODIFY, "Bone", (ours.SOPInstanceUID,))
    dice, volume = one.changes
    assert dice == Change(codes.DICE, None, round(2 / 3, 6), codes.FRACTION)
    voxel = 4.0 * 1.5 * 1.25
    assert volume.name == standard.SCT.Volume
    assert (volume.before, volume.after) == (pytest.approx(144 * voxel), pytest.approx(72 * voxel))
    assert (document.person, document.device) == (READER, "ACME Viewer")


def test_the_same_pixels_are_accepted_and_an_emptied_segment_is_rejected(made: dict[str, Dataset]) -> None:
    ours = made["segmentation_binary"]
    shuffled = redrawn(ours)
    order = slice(None, None, -1)  # frames in another order are the same segment
    shuffled.PerFrameFunctionalGroupsSequence = list(ours.PerFrameFunctionalGroupsSequence)[order]
    shuffled.PixelData = pack_bits(ours.pixel_array[order].astype(np.uint8))
    assert [one.answer for one in said(ours, shuffled).assessments] == [Answer.ACCEPT]
    (gone,) = said(ours, redrawn(ours, lambda frames: frames.fill(0))).assessments
    assert (gone.answer, gone.reason, gone.changes) == (Answer.REJECT, codes.LEFT_OUT, ())


def test_one_without_a_person_counts_where_it_was_made_by_hand(made: dict[str, Dataset]) -> None:
    ours = made["segmentation_binary"]
    copy = redrawn(ours, half, person="")
    with pytest.raises(NotAnEdit, match="names no person, and no segment of it was made by hand"):
        said(ours, copy)
    copy.SegmentSequence[0].SegmentAlgorithmType = "SEMIAUTOMATIC"
    assert [one.answer for one in said(ours, copy).assessments] == [Answer.MODIFY]


def test_what_has_no_segment_of_ours_is_none_of_our_business(made: dict[str, Dataset]) -> None:
    ours = made["segmentation_binary"]
    copy = redrawn(ours)
    copy.SegmentSequence[0].TrackingUID = generate_uid()
    assert said(ours, copy) is None


def test_another_grid_and_too_many_pixels_are_left_alone(
    made: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = made["segmentation_binary"]
    copy = redrawn(ours)
    copy.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [1, 1]
    with pytest.raises(NotAnEdit, match="another grid"):
        said(ours, copy)
    monkeypatch.setattr(segment_masks, "MOST_PIXELS", 100)
    with pytest.raises(UnsuitableInput, match="more than 100 pixels"):
        said(ours, redrawn(ours))


def test_damaged_pixels_are_refused_in_a_sentence(made: dict[str, Dataset]) -> None:
    ours = made["segmentation_binary"]
    short = redrawn(ours)
    short.PixelData = short.PixelData[:10]
    with pytest.raises(UnsuitableInput):
        said(ours, short)
    with pytest.raises(UnsuitableInput):
        edited_segments(content_of(ours), content_of(redrawn(ours))[:-40], lambda: None)
