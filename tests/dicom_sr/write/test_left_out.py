from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_sr.errors import EncodingError
from dicom_sr.findings import Heatmap, ImageReference, Result
from dicom_sr.profile import DEFAULT_KINDS, Kind
from dicom_sr.write.encode import EncodingProfile, encode, encode_what_can_be
from dicom_sr.write.left_out import OPTIONAL, Attempts
from tests.dicom_sr.conftest import CREATED
from tests.factories import joint_result, radiograph_study

ACTIVATION = Code("130403", "DCM", "Gradient-weighted class activation")
SENTENCE = "Left out: 1 binary segmentation that could not be written."


def with_a_map_beside_the_image(folder: Path) -> Result:
    """A result with one map on the pixels of its film, and one that is not: no segmentation can be made of it."""
    result = joint_result(radiograph_study(folder))
    image = ImageReference(result.instances[0].sop_instance_uid)
    return replace(result, heatmaps=(Heatmap(image, np.ones((3, 3), np.float32), ACTIVATION, "Map"),))


def test_an_object_that_cannot_be_made_is_left_out_and_report_and_capture_say_so(tmp_path: Path) -> None:
    kinds: tuple[Kind, ...] = ("report", "secondary_capture", "presentation_state", "segmentation_binary")
    result = with_a_map_beside_the_image(tmp_path / "in")
    written = encode_what_can_be(result, EncodingProfile(kinds=kinds), CREATED, tmp_path / "out")
    assert {one.kind for one in written.objects} == {"report", "secondary_capture", "presentation_state"}
    assert [str(one) for one in written.left_out] == [
        "binary segmentation: a map of (3, 3) is not on the pixels of its image"
    ]
    for report in (one for one in written.objects if one.kind == "report"):
        assert SENTENCE in [item.get("TextValue") for item in pydicom.dcmread(report.path).ContentSequence]


def test_what_says_so_is_another_object_than_what_need_not(tmp_path: Path) -> None:
    result = with_a_map_beside_the_image(tmp_path / "in")
    kinds: tuple[Kind, ...] = ("report", "secondary_capture", "presentation_state")
    plain = encode(result, EncodingProfile(kinds=kinds), CREATED, tmp_path / "plain")
    profile = EncodingProfile(kinds=(*kinds, "segmentation_binary"))
    poorer = encode_what_can_be(result, profile, CREATED, tmp_path / "poorer").objects
    same = {one.sop_instance_uid: one.sha256 for one in plain}
    assert {one.kind for one in poorer if one.sop_instance_uid in same} == {"presentation_state"}
    assert all(same.get(one.sop_instance_uid, one.sha256) == one.sha256 for one in poorer)


def test_who_asks_for_all_objects_is_told_that_one_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(EncodingError, match="not on the pixels"):
        encode(with_a_map_beside_the_image(tmp_path / "in"), EncodingProfile(), CREATED, tmp_path / "out")


def test_a_report_is_never_optional() -> None:
    assert set(OPTIONAL) < set(get_args(Kind))
    assert not set(OPTIONAL) & {"report", "secondary_capture", "derived_series", "document", "risk_assessment"}
    assert set(OPTIONAL) & set(DEFAULT_KINDS)


def test_a_library_s_words_are_not_in_the_sentence() -> None:
    def refused() -> None:
        raise ValueError("'FOO' is not a valid VOILUTFunctionValues")

    attempts = Attempts()
    attempts("presentation_state", refused)  # type: ignore[arg-type]
    (one,) = attempts.left_out
    assert str(one) == "presentation state: what it would hold does not fit such an object"
    assert str(one.cause) == "'FOO' is not a valid VOILUTFunctionValues"


@pytest.mark.filterwarnings("ignore:Invalid value")
def test_a_number_that_its_element_cannot_hold_is_a_matter_of_the_object(tmp_path: Path) -> None:
    def too_large() -> None:
        ds = Dataset()
        ds.add_new("Rows", "US", 2**16)
        pydicom.dcmwrite(tmp_path / "object.dcm", ds, implicit_vr=False, little_endian=True)

    attempts = Attempts()
    attempts("parametric_map", too_large)  # type: ignore[arg-type]
    (one,) = attempts.left_out
    assert isinstance(one.cause, OSError)  # so pydicom calls it


def test_a_full_disk_while_a_library_writes_is_no_matter_of_the_object() -> None:
    def full() -> None:
        raise OSError("for data_element: (0028,0010)") from OSError(28, "No space left on device")

    with pytest.raises(OSError, match="for data_element"):
        Attempts()("key_objects", full)  # type: ignore[arg-type]


def test_a_full_disk_is_no_matter_of_the_object() -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    attempts = Attempts()
    with pytest.raises(OSError, match="No space left"):
        attempts("key_objects", full)  # type: ignore[arg-type]
    assert attempts.left_out == []
