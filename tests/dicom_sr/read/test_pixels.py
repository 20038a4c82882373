from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_sr import phantoms
from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.pixels import Picture, frames, read_picture
from dicom_sr.series import Instance, Study
from tests.factories import changed, knee_study, radiograph_study, ultrasound_study

pytestmark = pytest.mark.filterwarnings("ignore")  # odd files make pydicom warn, and are read none the less


def only(study: Study) -> Picture:
    return read_picture(study.series[0])


def pictures_of(path: Path) -> list[Picture]:
    return list(frames(Instance("1.2", "", path)))


def test_a_radiograph_is_read_with_scale_and_window(tmp_path: Path) -> None:
    picture = only(radiograph_study(tmp_path, "hand", "L"))
    np.testing.assert_array_equal(picture.array, phantoms.hand(120, 96, "L"))
    assert (picture.pixel_mm, picture.scale) == ((0.2, 0.2), "pixel spacing")
    assert picture.window == (200.0, 3600.0)


def test_monochrome1_is_turned_with_its_window(tmp_path: Path) -> None:
    plain = only(radiograph_study(tmp_path / "a"))

    def inverted(_: int, ds: Dataset) -> Dataset:
        ds.PixelData = (4095 - ds.pixel_array).astype(np.uint16).tobytes()
        ds.PhotometricInterpretation, ds.PresentationLUTShape = "MONOCHROME1", "INVERSE"
        ds.WindowCenter = str(4095 - float(ds.WindowCenter))
        return ds

    turned = only(changed(radiograph_study(tmp_path / "b"), inverted))
    np.testing.assert_array_equal(turned.array, plain.array)
    assert turned.window == plain.window


def test_signed_pixels_and_rescale_become_real_values(tmp_path: Path) -> None:
    stored = np.array([[-100, 0], [200, 2047]], np.int16)

    def ct_like(_: int, ds: Dataset) -> Dataset:
        ds.Rows = ds.Columns = 2
        ds.PixelRepresentation, ds.PixelData = 1, stored.tobytes()
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "2", "-1000", "HU"
        return ds

    picture = only(changed(radiograph_study(tmp_path), ct_like))
    np.testing.assert_array_equal(picture.array, [[-1200, -1000], [-600, 3094]])
    assert picture.unit == "HU"


def test_spacing_at_the_detector_is_said_to_be_that(tmp_path: Path) -> None:
    def at_the_detector(_: int, ds: Dataset) -> Dataset:
        del ds.PixelSpacing
        ds.ImagerPixelSpacing = ["0.15", "0.14"]
        return ds

    picture = only(changed(radiograph_study(tmp_path), at_the_detector))
    assert (picture.pixel_mm, picture.scale) == ((0.15, 0.14), "imager pixel spacing")
    assert picture.aspect == pytest.approx(0.15 / 0.14)


def test_no_spacing_is_no_scale(tmp_path: Path) -> None:
    def without(_: int, ds: Dataset) -> Dataset:
        del ds.PixelSpacing, ds.ImagerPixelSpacing
        return ds

    picture = only(changed(radiograph_study(tmp_path), without))
    assert (picture.pixel_mm, picture.scale) == (None, "none")


def test_an_ultrasound_has_the_scale_of_its_region(tmp_path: Path) -> None:
    picture = only(ultrasound_study(tmp_path))
    assert picture.is_colour
    assert picture.array.dtype == np.uint8
    assert picture.scale == "ultrasound region"
    assert picture.pixel_mm == pytest.approx((0.07, 0.07))  # 0.007 cm
    assert picture.regions[0].box == (9, 3, 149, 111)


def test_a_palette_becomes_rgb(tmp_path: Path) -> None:
    def palette(_: int, ds: Dataset) -> Dataset:
        ds.Rows = ds.Columns = 2
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit, ds.PhotometricInterpretation = 7, "PALETTE COLOR"
        ds.PixelData = bytes([0, 1, 2, 1])
        ds["PixelData"].VR = "OB"
        for colour, table in (("Red", [0, 255, 0]), ("Green", [0, 0, 255]), ("Blue", [10, 20, 30])):
            ds.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [3, 0, 16])
            ds.add_new(f"{colour}PaletteColorLookupTableData", "OW", (np.array(table, np.uint16) * 257).tobytes())
        return ds

    picture = only(changed(radiograph_study(tmp_path), palette))
    expected = [[[0, 0, 10], [255, 0, 20]], [[0, 255, 30], [255, 0, 20]]]
    np.testing.assert_array_equal(picture.array, expected)


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    def ybr(_: int, ds: Dataset) -> Dataset:
        ds.PhotometricInterpretation = "YBR_FULL"
        ds.PixelData = bytes([128, 128, 128]) * (ds.Rows * ds.Columns)
        return ds

    picture = only(changed(ultrasound_study(tmp_path), ybr))
    assert set(np.unique(picture.array)) == {128}  # no chroma is grey


def test_a_slice_knows_its_place(tmp_path: Path) -> None:
    study = knee_study(tmp_path)
    picture = next(iter(frames(study.instances[2])))
    assert picture.affine is not None
    expected = phantoms.knee_geometry((6, 24, 20), (4.0, 1.5, 1.25)) @ np.array([2, 5, 7, 1])
    np.testing.assert_allclose(picture.affine @ np.array([0, 5, 7, 1]), expected, atol=1e-5)


def test_cut_pixels_are_unsuitable_with_a_reason(tmp_path: Path) -> None:
    def cut(_: int, ds: Dataset) -> Dataset:
        ds.PixelData = ds.PixelData[:100]
        return ds

    with pytest.raises(UnsuitableInput, match="cannot be decoded"):
        only(changed(radiograph_study(tmp_path), cut))


def test_an_object_without_pixels_is_unsuitable(tmp_path: Path) -> None:
    def emptied(_: int, ds: Dataset) -> Dataset:
        del ds.PixelData
        return ds

    with pytest.raises(UnsuitableInput, match="no pixels"):
        only(changed(radiograph_study(tmp_path), emptied))


def test_a_claim_of_billions_of_pixels_is_not_believed(tmp_path: Path) -> None:
    def vast(_: int, ds: Dataset) -> Dataset:
        ds.Rows = ds.Columns = 65535
        return ds

    with pytest.raises(UnsuitableInput, match="65535 x 65535"):
        only(changed(radiograph_study(tmp_path), vast))


# ---- real files
@pytest.mark.shared_data
def test_every_file_is_read_or_unsuitable_with_a_reason(shared_data: Path) -> None:
    read, reasons = 0, []
    for folder in ("dicom-misc", "malformed", "us", "xray", "mr/knee-nema-wg04-mr3", "mr/enhanced-agfa"):
        for path in sorted((shared_data / folder).rglob("*")):
            if not path.is_file() or path.suffix in {
                ".png",
                ".csv",
                ".md",
                ".txt",
                ".json",
                ".gz",
                ".tif",
                ".mha",
                ".jpg",
            }:
                continue
            try:
                read += len(pictures_of(path)) > 0
            except UnsuitableInput as error:
                reasons.append(str(error))
    assert read > 100
    assert all(reasons)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["MR3_J2KR", "MR3_JLSL", "MR3_JPLL", "MR3_RLE"])
def test_every_lossless_form_of_a_slice_is_the_uncompressed_one(shared_data: Path, name: str) -> None:
    folder = shared_data / "mr" / "knee-nema-wg04-mr3"
    plain, other = (pictures_of(next(folder.glob(f"{stem}*")))[0] for stem in ("MR3_UNC", name))
    np.testing.assert_array_equal(other.array, plain.array)


@pytest.mark.shared_data
def test_twelve_bit_jpeg_is_near_the_uncompressed_slice(shared_data: Path) -> None:
    folder = shared_data / "mr" / "knee-nema-wg04-mr3"
    plain, lossy = (pictures_of(next(folder.glob(f"{stem}*")))[0].array for stem in ("MR3_UNC", "MR3_JPLY"))
    difference = np.asarray(lossy, np.float64) - np.asarray(plain, np.float64)
    assert np.sqrt(np.mean(difference**2)) < 0.01 * np.ptp(np.asarray(plain, np.float64))


def stored_by_dcmtk(dcmtk: Callable[[str], Path], path: Path, program: str, folder: Path) -> NDArray[np.generic]:
    """What DCMTK decodes the file to, read back without any decoder of ours."""
    plain = folder / "plain.dcm"
    subprocess.run([str(dcmtk(program)), str(path), str(plain)], check=True, capture_output=True)
    ds = pydicom.dcmread(plain)
    dtype = np.dtype(f"{'i' if ds.PixelRepresentation else 'u'}{ds.BitsAllocated // 8}")
    data = np.frombuffer(ds.PixelData, dtype)
    return data[: ds.Rows * ds.Columns].reshape(ds.Rows, ds.Columns)


@pytest.mark.shared_data
@pytest.mark.dcmtk
@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("mr/knee-nema-wg04-mr3/MR3_JPLL", "dcmdjpeg"),
        ("mr/knee-nema-wg04-mr3/MR3_JLSL", "dcmdjpls"),
        ("mr/knee-nema-wg04-mr3/MR3_RLE", "dcmdrle"),
    ],
)
def test_lossless_pixels_are_those_that_dcmtk_decodes(
    shared_data: Path, dcmtk: Callable[[str], Path], tmp_path: Path, name: str, program: str
) -> None:
    path = shared_data / name
    expected = stored_by_dcmtk(dcmtk, path, program, tmp_path)
    header = pydicom.dcmread(path, stop_before_pixels=True)
    picture = pictures_of(path)[0]
    slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    values = expected.astype(np.float64) * slope + intercept
    if header.PhotometricInterpretation == "MONOCHROME1":
        values = (2**header.BitsStored - 1) * slope + 2 * intercept - values
    np.testing.assert_array_equal(picture.array, values.astype(np.float32))


@pytest.mark.shared_data
def test_jpeg_2000_lossless_is_what_gdcm_decodes(shared_data: Path) -> None:
    gdcm = pytest.importorskip("gdcm")
    path = next((shared_data / "mr" / "knee-nema-wg04-mr3").glob("MR3_J2KR*"))
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    image = reader.GetImage()
    data = image.GetBuffer().encode("utf-8", errors="surrogateescape")
    header = pydicom.dcmread(path, stop_before_pixels=True)
    dtype = np.int16 if header.PixelRepresentation else np.uint16
    expected = np.frombuffer(data, dtype).reshape(header.Rows, header.Columns)
    slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    np.testing.assert_array_equal(pictures_of(path)[0].array, (expected * slope + intercept).astype(np.float32))


@pytest.mark.shared_data
def test_a_real_elbow_ultrasound_has_colour_and_scale(shared_data: Path) -> None:
    (picture,) = pictures_of(next((shared_data / "us" / "elbow-esaote").glob("*.dcm")))
    assert picture.array.shape == (555, 800, 3)
    assert picture.scale == "ultrasound region"


@pytest.mark.shared_data
def test_a_cine_loop_gives_all_its_frames(shared_data: Path) -> None:
    loops = list((shared_data / "us" / "hip-multiframe-dicom").glob("*.dcm"))
    counts = [(len(pictures_of(p)), int(pydicom.dcmread(p, stop_before_pixels=True).NumberOfFrames)) for p in loops]
    assert counts
    assert all(got == said > 1 for got, said in counts)
