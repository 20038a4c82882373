from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_sr.errors import UnsuitableInput
from dicom_sr.header_numbers import (
    needed_numbers,
    needed_rescale,
    needed_size,
    number_in,
    numbers_in,
    one_rescale,
    rescale_in,
    whole_number_in,
)
from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.series import Instance
from pipelines.knee_super_resolution import KneeSuperResolution, KneeSuperResolutionSettings
from tests.dicom_sr.conftest import Encode
from tests.factories import as_written, changed, knee_result, knee_study
from tests.node.receive.harness import mr, part10

pytestmark = pytest.mark.filterwarnings("ignore")  # odd values make pydicom warn


def header(**texts: str) -> Dataset:
    """A header with these values as a device wrote them."""
    ds = Dataset()
    for keyword, text in texts.items():
        as_written(ds, keyword, text)
    return ds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.25", 1.25),
        ("1,25", 1.25),
        ("3mm", 3),
        ("3 mm ", 3),
        ("+.5", 0.5),
        ("5.", 5),
        ("1e-2", 0.01),
        ("3cm", None),  # another unit than the standard's
        ("1.000,5", None),
        ("1,250", None),  # 1.25 here, 1250 there
        ("-1,024", None),
        ("1,250 mm", None),
        ("1,250e1", None),
        ("0,125", 0.125),
        ("-00,125", -0.125),
        (",125", 0.125),
        ("1,2500", 1.25),
        ("12 %", None),
        ("3 deg", None),
        ("auto", None),
        ("NaN", None),
        ("1e999", None),
        ("", None),
        ("  ", None),
        ("\\", None),
    ],
)
def test_a_decimal_string_is_the_number_that_it_can_only_mean(text: str, expected: float | None) -> None:
    ds = header(SliceThickness=text)
    assert number_in(ds, "SliceThickness") == expected
    again = Dataset()  # and so it travels: what is copied from the header can be written
    if ds.SliceThickness is not None:
        again.SliceThickness = ds.SliceThickness
        assert float(again.SliceThickness) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7),
        ("007", 7),
        ("7.0", 7),
        ("-3", -3),
        ("7,0", 7),
        ("7,00", 7),
        ("1,000", None),
        ("1,5e1", None),
        ("S4", None),
        ("1.5", None),
        ("Infinity", None),
        ("1e99", None),
    ],
)
def test_an_integer_string_is_the_whole_number_that_it_can_only_mean(text: str, expected: int | None) -> None:
    assert whole_number_in(header(InstanceNumber=text), "InstanceNumber") == expected


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        ("EchoTime", "12 %", None),
        ("EchoTime", "12 ms", 12),
        ("PercentSampling", "12 %", 12),
        ("MagneticFieldStrength", "3T", 3),
        ("ImagingFrequency", "63870000Hz", None),
        ("ImagingFrequency", "63.87 MHz", 63.87),
        ("FlipAngle", "90deg", 90),
        ("PixelBandwidth", "130Hz", 130),
        ("RescaleSlope", "1 mm", None),
    ],
)
def test_only_the_unit_of_the_element_is_passed_over(keyword: str, text: str, expected: float | None) -> None:
    assert number_in(header(**{keyword: text}), keyword) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5\\0.4", (0.5, 0.4)),
        ("0,5\\0,4", (0.5, 0.4)),
        ("0.5\\0.4\\", (0.5, 0.4)),
        ("0.5", None),
        ("0.5\\0.4\\0.3", None),
        ("0.5\\x", None),
        ("0.5\\\\0.4", None),
    ],
)
def test_several_values_are_as_many_as_they_should_be(text: str, expected: tuple[float, float] | None) -> None:
    assert numbers_in(header(PixelSpacing=text), "PixelSpacing", 2) == expected


@given(
    st.text(st.characters(codec="ascii"), max_size=16), st.sampled_from(["EchoTime", "SeriesNumber", "PixelSpacing"])
)
def test_whatever_stands_in_a_number_is_a_finite_number_or_none(text: str, keyword: str) -> None:
    ds = header(**{keyword: text})
    value = number_in(ds, keyword)
    assert value is None or np.isfinite(value)
    whole_number_in(ds, keyword)
    numbers_in(ds, keyword, 2)


def test_what_is_needed_is_asked_for_by_name_and_image() -> None:
    ds = header(PixelSpacing="0\\0")
    ds.SOPInstanceUID = "1.2.3"
    with pytest.raises(UnsuitableInput, match=r"^PixelSpacing of image 1\.2\.3 does not hold 2 numbers above 0$"):
        needed_size(ds, "PixelSpacing")
    with pytest.raises(UnsuitableInput, match=r"^image 1\.2\.3 has no ImagePositionPatient$"):
        needed_numbers(ds, "ImagePositionPatient", 3)


def test_rescale_pairs_are_compared_as_numbers() -> None:
    plain, written = (
        header(RescaleSlope="2", RescaleIntercept="-0"),
        header(RescaleSlope="2.00", RescaleIntercept="0,0"),
    )
    assert rescale_in(written) == (2, 0)
    assert one_rescale([plain, written])
    assert one_rescale([header(), header(RescaleSlope="1.0")])
    assert not one_rescale([plain, header(RescaleSlope="2.5", RescaleIntercept="0")])


def test_a_rescale_that_is_none_is_not_taken_for_one() -> None:
    ds = header(RescaleSlope="two", RescaleIntercept="0")
    assert rescale_in(ds) is None
    assert not one_rescale([ds, ds])
    with pytest.raises(UnsuitableInput, match=r"RescaleSlope of image .* does not hold a number"):
        needed_rescale(ds)


def test_a_rescale_pair_written_two_ways_leaves_real_values_as_they_are(tmp_path: Path, encoded: Encode) -> None:
    """Reader and writer ask the same: else one takes for stored values what the other made real."""

    def two_ways(index: int, ds: Dataset) -> Dataset:
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = ("2", "2.0")[index % 2], ("0", "0.00")[index % 2], "US"
        return ds

    study = changed(knee_study(tmp_path / "in"), two_ways)
    (stack,) = stacks(study.series[0])
    slices = encoded(knee_result(study), "derived_series")["derived_series"]
    first = next(ds for ds in slices if np.allclose([float(v) for v in ds.ImagePositionPatient], stack.affine[:3, 3]))
    made = first.pixel_array * float(first.RescaleSlope) + float(first.RescaleIntercept)
    np.testing.assert_array_equal(made, read_stack(stack).array[0])


NOT_NEEDED = {
    "EchoTime": "30,0",
    "EchoNumbers": "first",
    "MagneticFieldStrength": "3T",
    "SliceThickness": "3mm",
    "SeriesNumber": "S4",
    "InstanceNumber": "I1",
    "AcquisitionNumber": "1.5",
    "TimezoneOffsetFromUTC": "UTC+1",
    "WindowCenter": "450,0",
    "WindowWidth": "auto",
    "PixelSpacing": "1,5\\1,25\\",
    "PatientWeight": "70 kg",
    "NumberOfFrames": "",
}


def test_numbers_that_no_result_needs_cost_nobody_the_result(tmp_path: Path, encoded: Encode) -> None:
    """Whatever they hold, the study is read, checked and written, with the volume of the plain one."""

    def odd(_: int, ds: Dataset) -> Dataset:
        for keyword, text in NOT_NEEDED.items():
            as_written(ds, keyword, text)
        del ds.FrameOfReferenceUID
        return ds

    plain = knee_result(knee_study(tmp_path / "plain"))
    study = changed(knee_study(tmp_path / "in"), odd)
    KneeSuperResolution(KneeSuperResolutionSettings(method="tricubic")).check(study)
    result = knee_result(study)
    np.testing.assert_array_equal(result.derived[0].volume.array, plain.derived[0].volume.array)
    found = encoded(result, "derived_series", "secondary_capture", "report", "segmentation_binary", "parametric_map")
    assert set(found) >= {"derived_series", "secondary_capture", "report", "parametric_map"}
    first = found["derived_series"][0]
    assert (first.EchoTime, first.MagneticFieldStrength, first.PixelSpacing) == (30, 3, [1.5, 1.25])
    assert "TimezoneOffsetFromUTC" not in first
    assert first.FrameOfReferenceUID == found["parametric_map"][0].FrameOfReferenceUID


@pytest.mark.parametrize("offset", ["+2500", "-1300", "+0160", "0100", "+1:00"])
def test_a_time_zone_that_is_none_is_left_out(tmp_path: Path, encoded: Encode, offset: str) -> None:
    def zoned(_: int, ds: Dataset) -> Dataset:
        ds.TimezoneOffsetFromUTC = offset
        return ds

    found = encoded(knee_result(changed(knee_study(tmp_path / "in"), zoned)), "report")["report"]
    assert "TimezoneOffsetFromUTC" not in found[0]


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("PixelSpacing", "1.25"),
        ("PixelSpacing", "0\\0"),
        ("PixelSpacing", "wide\\high"),
        ("ImagePositionPatient", "1\\2"),
        ("ImageOrientationPatient", "0\\1\\0\\0\\0"),
        ("ImageOrientationPatient", "0\\0\\0\\0\\0\\0"),
        ("RescaleSlope", "much"),
        ("RescaleSlope", "0"),
    ],
)
def test_a_number_that_the_volume_needs_is_named_where_it_is_none(tmp_path: Path, keyword: str, text: str) -> None:
    def odd(index: int, ds: Dataset) -> Dataset:
        if index == 1:
            as_written(ds, keyword, text)
        return ds

    study = changed(knee_study(tmp_path), odd)
    with pytest.raises(
        UnsuitableInput, match=f"{keyword} of image {study.instances[1].sop_instance_uid} does not hold"
    ):
        stacks(study.series[0])


@pytest.mark.parametrize("vr", [b"US", b"FD", b"ZZ"])
def test_an_element_whose_bytes_are_no_value_of_its_vr_is_empty(tmp_path: Path, vr: bytes) -> None:
    content = part10(mr(EchoTime=5))
    at = content.index(b"\x18\x00\x81\x00DS") + 4
    (tmp_path / "bad.dcm").write_bytes(content[:at] + vr + b"\x03\0abc" + content[at + 4 + 2 :])
    header = Instance("1.2", "1.3", tmp_path / "bad.dcm").header()
    assert header.get("EchoTime") is None
    assert number_in(header, "EchoTime") is None
