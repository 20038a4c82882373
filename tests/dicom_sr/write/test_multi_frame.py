"""What is written frame by frame has the bytes that highdicom gives an object that is made as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.sr.codedict import codes as standard

from dicom_sr import codes
from dicom_sr.errors import EncodingError
from dicom_sr.findings import Result, Segment, Volume
from dicom_sr.profile import EncodingProfile, Kind
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.read.headers import MANUFACTURER
from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.write.encode import encode
from dicom_sr.write.finish import finish, write
from dicom_sr.write.multi_frame import frames_tail, packed_bits
from dicom_sr.write.segment_layers import groups
from tests.dicom_sr.conftest import CREATED
from tests.factories import knee_result, knee_study
from tests.properties import STABLE

SHAPE = (4, 7, 9)  # a frame of 63 pixels ends within a byte
Pixels = list[tuple[int, int, int, float]]
FEWER = settings(STABLE, max_examples=STABLE.max_examples // 3)  # each writes two objects
WHAT = (standard.SCT.AnatomicalStructure, codes.KNEE)


@pytest.fixture(scope="module")
def knee(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Volume]:
    """A result without segments, and its stack."""
    study = knee_study(tmp_path_factory.mktemp("knee"), SHAPE)
    (stack,) = stacks(study.series[0])
    return replace(knee_result(study), derived=()), read_stack(stack)


def by_highdicom(result: Result, form: str, pixels: NDArray[np.generic], written: Path) -> bytes:
    """The object with `pixels`, (N, H, W, segments) or a label map (N, H, W), and the segments that `written` names."""
    kind: Kind = f"segmentation_{form}"  # type: ignore[assignment]
    provenance = Provenance(result, EncodingProfile(kinds=(kind,)), CREATED, "")
    (group,) = groups(provenance)
    named = hd.seg.segread(written)
    ds = hd.seg.Segmentation(
        source_images=group.images,
        pixel_array=pixels,
        segmentation_type=form.upper(),
        segment_descriptions=[named.get_segment_description(n) for n in named.segment_numbers],
        series_instance_uid=provenance.uid(kind, "series"),
        series_number=provenance.series_number(kind),
        sop_instance_uid=provenance.uid(kind, "0"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=provenance.model.name,
        software_versions=software_version(),
        device_serial_number=provenance.profile.device_serial_number,
        content_label="SEGMENTATION",
        content_description=result.title[:64],
        content_creator_name=f"{MANUFACTURER}^",
    )
    bits = int(ds.NumberOfFrames) * int(ds.Rows) * int(ds.Columns) * int(ds.BitsAllocated)
    if -(-bits // 8) % 2:
        ds.PixelData = ds.PixelData[:-1] + b"\0"  # highdicom pads with the digit 0, which is no null byte
    return write(finish(ds, provenance, f"{form} segments"), kind, written.parent, "whole.dcm").path.read_bytes()


def written_by_frames(result: Result, form: str, folder: Path) -> Path:
    encode(result, EncodingProfile(kinds=(f"segmentation_{form}",)), CREATED, folder)  # type: ignore[arg-type]
    return folder / f"segmentation-{form}-1.dcm"


def segments_of(volume: Volume, arrays: Sequence[NDArray[np.generic]]) -> tuple[Segment, ...]:
    return tuple(Segment(f"Part {n}", *WHAT, volume.with_array(array)) for n, array in enumerate(arrays))


some_pixels = st.lists(st.tuples(*(st.integers(0, n - 1) for n in SHAPE), st.floats(0, 1, width=32)), max_size=6)


def as_array(pixels: Pixels) -> NDArray[np.float32]:
    array = np.zeros(SHAPE, np.float32)
    for d, h, w, value in pixels:
        array[d, h, w] = value
    return array


Arrays = list[NDArray[np.float32]]
Drawn = tuple[Sequence[NDArray[np.generic]], NDArray[np.generic]]  # of each segment, and of the object as a whole


def as_probabilities(arrays: Arrays) -> Drawn:
    stacked = np.stack(arrays, axis=-1)
    if not np.around(stacked * 255).any():
        stacked[:] = 0  # highdicom makes an object without a frame of what all rounds to 0
    return arrays, stacked


def as_masks(arrays: Arrays) -> Drawn:
    masks = [array > 0.3 for array in arrays]
    shown = [mask for mask in masks if mask.any()]
    return masks, np.stack(shown or masks, axis=-1).astype(np.uint8)


def as_labels(arrays: Arrays) -> Drawn:
    strength = np.stack([np.where(array >= 0.5, array, 0) for array in arrays], axis=-1)
    return arrays, np.where(strength.any(-1), strength.argmax(-1) + 1, 0).astype(np.uint8)


@pytest.mark.parametrize(
    ("form", "made"), [("fractional", as_probabilities), ("binary", as_masks), ("labelmap", as_labels)]
)
@FEWER
@given(drawn=st.lists(some_pixels, min_size=1, max_size=4))
def test_segments_have_the_bytes_of_an_object_made_as_a_whole(
    knee: tuple[Result, Volume],
    tmp_path_factory: pytest.TempPathFactory,
    form: str,
    made: Callable[[Arrays], Drawn],
    drawn: list[Pixels],
) -> None:
    arrays, whole = made([as_array(pixels) for pixels in drawn])
    if form != "binary" or whole.any():  # a mask without a pixel makes no object
        result = replace(knee[0], segments=segments_of(knee[1], arrays))
        path = written_by_frames(result, form, tmp_path_factory.mktemp(form))
        assert path.read_bytes() == by_highdicom(result, form, whole, path)


def test_a_label_map_of_more_than_255_segments_has_two_bytes_a_pixel(
    knee: tuple[Result, Volume], tmp_path: Path
) -> None:
    labels = np.zeros(SHAPE, np.uint16)
    labels.ravel()[:252] = np.arange(49, 301)  # the last 252 of 300 segments have a pixel each
    shared = knee[1].with_array(labels)
    segments = tuple(Segment(f"Part {n}", *WHAT, shared, label_value=n) for n in range(1, 301))
    result = replace(knee[0], segments=segments)
    path = written_by_frames(result, "labelmap", tmp_path)
    assert hd.seg.segread(path).pixel_array.max() == 300
    assert path.read_bytes() == by_highdicom(result, "labelmap", labels, path)


def test_bits_run_on_from_frame_to_frame() -> None:
    masks = [np.array([1, 0, 1], bool), np.array([1, 1, 0], bool), np.array([0, 1, 1], bool)]
    assert b"".join(packed_bits(masks)) == bytes([0b10011101, 0b1])
    assert b"".join(packed_bits([])) == b""


def test_more_pixels_than_an_element_holds_are_refused_before_anything_is_written() -> None:
    with pytest.raises(EncodingError, match="PixelData would take 4294967296 bytes"):
        frames_tail([], "PixelData", "OB", 2**32, [])
