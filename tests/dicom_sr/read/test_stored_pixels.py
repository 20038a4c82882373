"""Stored values as PS3.5 8.1.1 lets them lie in their cells, in every syntax, and what is around them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.pixels import frames
from dicom_sr.read.stacks import read_volume
from dicom_sr.series import Instance, Study
from node.receive.store.part10 import file_meta
from tests.factories import as_written, changed, knee_study, radiograph_study
from tests.node.receive.harness import data_set

pytestmark = pytest.mark.filterwarnings("ignore")  # odd layouts make pydicom warn

STORED = 12
RNG = np.random.default_rng(5)
UNSIGNED = RNG.integers(0, 2**STORED, (64, 72)).astype(np.uint16)
SIGNED = (UNSIGNED.astype(np.int32) - 2 ** (STORED - 1)).astype(np.int16)
NOISE = RNG.integers(0, 2**16, UNSIGNED.shape).astype(np.uint16)  # what lies in the cells' other bits


def cells(values: NDArray[np.generic], high_bit: int) -> NDArray[np.generic]:
    """Cells of 16 bits with `values` up to `high_bit`, and noise in all other bits."""
    lowest = high_bit + 1 - STORED
    own = ((2**STORED - 1) << lowest) & 0xFFFF
    placed = (np.asarray(values, np.int64) << lowest) & own
    return np.asarray(placed | (NOISE & (0xFFFF ^ own)), np.uint16)


def film(folder: Path, stored: NDArray[np.generic], high_bit: int, signed: bool, syntax: UID) -> Path:
    """A radiograph with these cells, compressed as they are where the syntax compresses."""
    (path,) = (instance.path for instance in radiograph_study(folder).instances)
    ds = pydicom.dcmread(path)
    ds.Rows, ds.Columns = stored.shape
    ds.PixelData, ds.PixelRepresentation = stored.tobytes(), 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    for keyword in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"):
        ds.pop(keyword, None)
    if syntax.is_encapsulated:
        ds.compress(syntax, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        ds.PixelData = stored.byteswap().tobytes()
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = STORED, high_bit, int(signed)
    ds.file_meta.TransferSyntaxUID = syntax
    form = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
    pydicom.dcmwrite(path, ds, force_encoding=syntax == ExplicitVRBigEndian, **form)
    return path


def values_of(path: Path) -> NDArray[np.float32]:
    (picture,) = frames(Instance("1.2", "", path))
    return np.asarray(picture.array, np.float32)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("high_bit", [11, 13, 15])
@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
    ids=lambda uid: uid.keyword,
)
def test_only_a_pixels_own_bits_count(tmp_path: Path, syntax: UID, high_bit: int, signed: bool) -> None:
    expected = SIGNED if signed else UNSIGNED
    path = film(tmp_path, cells(expected, high_bit), high_bit, signed, syntax)
    np.testing.assert_array_equal(values_of(path), expected)


@pytest.mark.dcmtk
@pytest.mark.parametrize("high_bit", [11, 15])
def test_only_a_pixels_own_bits_count_in_jpeg_lossless(
    tmp_path: Path, dcmtk: Callable[[str], Path], high_bit: int
) -> None:
    plain = film(tmp_path, cells(UNSIGNED, high_bit), 15, False, ExplicitVRLittleEndian)
    ds = pydicom.dcmread(plain)
    ds.BitsStored = 16
    ds.save_as(plain)
    subprocess.run([str(dcmtk("dcmcjpeg")), "+e1", str(plain), str(tmp_path / "jpeg.dcm")], check=True)
    ds = pydicom.dcmread(tmp_path / "jpeg.dcm")
    ds.BitsStored, ds.HighBit = STORED, high_bit
    ds.save_as(tmp_path / "jpeg.dcm")
    np.testing.assert_array_equal(values_of(tmp_path / "jpeg.dcm"), UNSIGNED)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("signed", [False, True])
def test_a_stream_of_the_pixels_own_bits_alone_is_read_whatever_the_high_bit_is(
    tmp_path: Path, syntax: UID, signed: bool
) -> None:
    """Some encoders pack the pixel's bits and leave HighBit as it was."""
    expected = SIGNED if signed else UNSIGNED
    path = film(tmp_path, expected.astype(np.uint16), 15, signed, ExplicitVRLittleEndian)
    ds = pydicom.dcmread(path)
    ds.HighBit = STORED - 1
    ds.compress(syntax, generate_instance_uid=False)
    ds.HighBit = 15
    ds.save_as(path)
    np.testing.assert_array_equal(values_of(path), expected)


def test_a_high_bit_that_cannot_be_is_passed_over(tmp_path: Path) -> None:
    path = film(tmp_path, cells(UNSIGNED, 11), 7, False, ExplicitVRLittleEndian)
    np.testing.assert_array_equal(values_of(path), UNSIGNED)


def test_an_overlay_in_the_bits_above_leaves_the_volume_as_it_is(tmp_path: Path) -> None:
    def marked(_: int, ds: Dataset) -> Dataset:
        ds.PixelData = (ds.pixel_array | 0xF000).astype(np.uint16).tobytes()
        return ds

    plain, other = knee_study(tmp_path / "a"), changed(knee_study(tmp_path / "b"), marked)
    np.testing.assert_array_equal(read_volume(other.series[0]).array, read_volume(plain.series[0]).array)


# ---- padding
@pytest.mark.parametrize(
    ("value", "limit", "stored"),
    [(4095, None, 4095), (4000, 4095, 4050), (4095, 4000, 4000), (0, 3, 2)],
)
def test_padding_is_black(tmp_path: Path, value: int, limit: int | None, stored: int) -> None:
    def padded(_: int, ds: Dataset) -> Dataset:
        pixels = np.clip(ds.pixel_array, 100, 3900)
        pixels[:, :10] = stored
        ds.PixelData = pixels.tobytes()
        ds.add_new("PixelPaddingValue", "US", value)
        if limit is not None:
            ds.add_new("PixelPaddingRangeLimit", "US", limit)
        return ds

    study = changed(radiograph_study(tmp_path), padded)
    read = values_of(study.instances[0].path)
    assert (read[:, :10] == 0).all()
    assert (read[:, 10:] >= 100).all()


@pytest.mark.parametrize(
    ("written", "value", "limit", "cell"),
    [("SS", -2000, None, 63536), ("US", 63536, None, 63536), ("SS", -10, 10, 65530), ("SS", -10, 10, 7)],
)
def test_padding_that_the_pixels_own_bits_cannot_hold_is_black(
    tmp_path: Path, written: str, value: int, limit: int | None, cell: int
) -> None:
    def padded(_: int, ds: Dataset) -> Dataset:
        pixels = np.clip(ds.pixel_array, 100, 3900)
        pixels[:, :10] = cell
        ds.PixelData = pixels.tobytes()
        ds.add_new("PixelPaddingValue", written, value)
        if limit is not None:
            ds.add_new("PixelPaddingRangeLimit", written, limit)
        return ds

    read = values_of(changed(radiograph_study(tmp_path), padded).instances[0].path)
    assert (read[:, :10] == 0).all()
    assert (read[:, 10:] >= 100).all()


def test_padding_is_black_where_the_least_value_is_white(tmp_path: Path) -> None:
    def padded(_: int, ds: Dataset) -> Dataset:
        pixels = np.clip(ds.pixel_array, 100, 3900)
        pixels[:, :10] = 0
        ds.PixelData = pixels.tobytes()
        ds.add_new("PixelPaddingValue", "US", 0)
        ds.PhotometricInterpretation = "MONOCHROME1"
        return ds

    study = changed(radiograph_study(tmp_path), padded)
    assert (values_of(study.instances[0].path)[:, :10] == 0).all()


def test_padding_of_signed_pixels_that_is_black_already_stays(tmp_path: Path) -> None:
    def padded(_: int, ds: Dataset) -> Dataset:
        pixels = np.clip(ds.pixel_array, 1, 1000).astype(np.int16)
        pixels[:5] = 0
        ds.PixelRepresentation, ds.PixelData = 1, pixels.tobytes()
        ds.add_new("PixelPaddingValue", "SS", 0)
        return ds

    assert read_volume(changed(knee_study(tmp_path), padded).series[0]).array.min() == 0


@pytest.mark.parametrize("written", ["SS", "US"])
def test_padding_of_signed_pixels_is_as_dark_as_the_darkest_of_the_picture(tmp_path: Path, written: str) -> None:
    def padded(_: int, ds: Dataset) -> Dataset:
        pixels = np.clip(ds.pixel_array.astype(np.int32) - 1000, -1000, 1000).astype(np.int16)
        pixels[:5] = -2000
        ds.PixelRepresentation, ds.PixelData = 1, pixels.tobytes()
        ds.add_new("PixelPaddingValue", written, -2000 if written == "SS" else 2**16 - 2000)
        return ds

    study = changed(knee_study(tmp_path), padded)
    assert read_volume(study.series[0]).array.min() == -1000


# ---- what is missing or broken
def reason(study: Study) -> str:
    with pytest.raises(UnsuitableInput) as error:
        list(frames(study.instances[0]))
    return str(error.value)


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"])
def test_an_attribute_that_pixels_need_is_named_where_it_is_missing(tmp_path: Path, keyword: str) -> None:
    def without(_: int, ds: Dataset) -> Dataset:
        del ds[keyword]
        return ds

    study = changed(radiograph_study(tmp_path), without)
    assert reason(study) == f"image {study.instances[0].sop_instance_uid} has no {keyword}"


def test_black_and_white_are_not_guessed(tmp_path: Path) -> None:
    def without(_: int, ds: Dataset) -> Dataset:
        del ds.PhotometricInterpretation
        ds.pop("PresentationLUTShape", None)
        return ds

    assert "has no PhotometricInterpretation" in reason(changed(radiograph_study(tmp_path), without))


@pytest.mark.parametrize(
    ("keyword", "value", "wanted"),
    [
        ("PhotometricInterpretation", "MONOCHROME", "one of MONOCHROME1, MONOCHROME2, PALETTE COLOR, RGB, YBR_FULL"),
        ("BitsStored", 0, "a number from 1 to BitsAllocated, 16"),
        ("BitsStored", 17, "a number from 1 to BitsAllocated, 16"),
    ],
)
def test_an_attribute_that_pixels_need_is_named_where_it_holds_what_cannot_be(
    tmp_path: Path, keyword: str, value: object, wanted: str
) -> None:
    def odd(_: int, ds: Dataset) -> Dataset:
        ds[keyword].value = value
        return ds

    study = changed(radiograph_study(tmp_path), odd)
    assert f"{keyword} of image {study.instances[0].sop_instance_uid} does not hold {wanted}" in reason(study)


def test_black_and_white_may_be_written_small(tmp_path: Path) -> None:
    def small(_: int, ds: Dataset) -> Dataset:
        ds.PhotometricInterpretation = "monochrome1"
        return ds

    plain = values_of(radiograph_study(tmp_path / "a").instances[0].path)
    study = changed(radiograph_study(tmp_path / "b"), small)
    np.testing.assert_array_equal(values_of(study.instances[0].path), 4095 - plain)


def test_what_the_rest_of_the_header_tells_is_not_needed(tmp_path: Path) -> None:
    plain = values_of(radiograph_study(tmp_path / "a").instances[0].path)

    def without(_: int, ds: Dataset) -> Dataset:
        del ds.PhotometricInterpretation, ds.SamplesPerPixel, ds.HighBit
        ds.PresentationLUTShape = "IDENTITY"
        as_written(ds, "NumberOfFrames", "")
        return ds

    study = changed(radiograph_study(tmp_path / "b"), without)
    np.testing.assert_array_equal(values_of(study.instances[0].path), plain)


def test_pixels_that_are_cut_off_are_counted(tmp_path: Path) -> None:
    def cut(_: int, ds: Dataset) -> Dataset:
        ds.PixelData = ds.PixelData[:100]
        return ds

    assert "PixelData is cut off, 100 bytes where the header needs 23040" in reason(
        changed(radiograph_study(tmp_path), cut)
    )


def test_a_compressed_picture_that_is_cut_off_is_said_without_pythons_words(tmp_path: Path) -> None:
    def cut(_: int, ds: Dataset) -> Dataset:
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.PixelData = ds.PixelData[:200]
        return ds

    said = reason(changed(radiograph_study(tmp_path), cut))
    assert said == (
        "the pixels cannot be decoded (RLE Lossless): they are damaged, cut off, or of a kind that no decoder knows"
    )


@pytest.mark.parametrize(
    ("syntax", "why"),
    [
        ("1.2.840.113619.5.2", "1.2.840.113619.5.2): only its maker knows how they are coded"),
        ("1.2.840.10008.1.2.4.53", "they are damaged, cut off, or of a kind that no decoder knows"),
    ],
)
def test_pixels_in_a_private_or_a_retired_syntax_are_unsuitable_and_say_so(
    tmp_path: Path, syntax: str, why: str
) -> None:
    study = radiograph_study(tmp_path)
    ds = pydicom.dcmread(study.instances[0].path)
    meta = file_meta(str(ds.SOPClassUID), str(ds.SOPInstanceUID), syntax, "")
    study.instances[0].path.write_bytes(meta + data_set(ds))
    said = reason(study)
    assert said.startswith("the pixels cannot be decoded (")
    assert said.endswith(why)
