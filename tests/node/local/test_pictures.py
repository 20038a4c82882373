"""Pictures of radiographs become DICOM that says nothing which the picture does not state."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.stored_pixels import decoded, read
from dicom_sr.series import read_studies
from node.local.pictures import picture_format, write_radiograph
from tests.dicom_sr.validators import dciodvfy

GREY = np.arange(20 * 31, dtype=np.uint16).reshape(20, 31)  # odd width: the pixels are padded to an even length


def written(picture: Path, folder: Path) -> NDArray[np.generic]:
    path, _ = write_radiograph(picture, folder)
    (study,) = read_studies([path])
    return decoded(read(study.instances[0]))


def test_the_pixels_are_those_of_the_picture(tmp_path: Path) -> None:
    Image.fromarray((GREY % 251).astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(GREY * 100).save(tmp_path / "deep.png")
    assert np.array_equal(written(tmp_path / "a.png", tmp_path), GREY % 251)
    assert np.array_equal(written(tmp_path / "deep.png", tmp_path), GREY * 100)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "1", "CMYK"])
def test_colour_and_transparency_become_grey(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.where(GREY % 2, 255, 0).astype(np.uint8))
    grey.convert(mode).save(tmp_path / "a", format="JPEG" if mode == "CMYK" else "PNG")
    difference = np.abs(written(tmp_path / "a", tmp_path).astype(int) - np.asarray(grey, int))
    assert difference.max() <= (25 if mode == "CMYK" else 0)  # JPEG is lossy


def test_a_picture_that_its_exif_turns_is_turned(tmp_path: Path) -> None:
    picture = Image.fromarray((GREY % 251).astype(np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # Orientation: the first row is the right edge
    picture.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(written(tmp_path / "a.png", tmp_path), np.rot90(GREY % 251, -1))


def test_what_a_picture_does_not_state_is_empty_or_missing(tmp_path: Path) -> None:
    Image.fromarray((GREY % 251).astype(np.uint8)).save(tmp_path / "a.jpg", dpi=(300, 300), quality=90)
    path, picture = write_radiograph(tmp_path / "a.jpg", tmp_path)
    ds = dcmread(path)
    stated = ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "BodyPartExamined", "AccessionNumber")
    assert [ds[keyword].value or "" for keyword in stated] == [""] * len(stated)
    assert {"PixelSpacing", "ImagerPixelSpacing", "ImageLaterality", "ViewPosition"} & {e.keyword for e in ds} == set()
    assert (ds.Modality, ds.SOPClassUID.name) == ("DX", "Digital X-Ray Image Storage - For Presentation")
    assert (ds.LossyImageCompression, ds.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert "JPEG" in ds.DerivationDescription
    assert (picture.format, picture.sop_instance_uid) == ("JPEG", ds.SOPInstanceUID)


@pytest.mark.validators
def test_what_a_validator_misses_are_facts_that_no_picture_states(tmp_path: Path) -> None:
    Image.fromarray((GREY % 251).astype(np.uint8)).save(tmp_path / "a.png")
    errors, _ = dciodvfy(write_radiograph(tmp_path / "a.png", tmp_path)[0])
    assert sorted(error.split("(")[0].removeprefix("Error - </") for error in errors) == [
        "ImageLaterality",
        "ImagerPixelSpacing",
        "Laterality",
        "PatientOrientation",
        "PixelIntensityRelationship",  # whether grey values are the logarithm of the dose
    ]


def test_the_same_picture_has_the_same_uids_and_each_picture_is_a_study_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    Image.fromarray((GREY % 251).astype(np.uint8)).save(tmp_path / "a.png")
    shutil.copy2(tmp_path / "a.png", tmp_path / "b.png")
    Image.fromarray((GREY % 250).astype(np.uint8)).save(tmp_path / "c.png")
    (first, one), (second, two), (third, three) = (
        write_radiograph(tmp_path / name, tmp_path / "out") for name in ("a.png", "b.png", "c.png")
    )
    assert (first, one.sop_instance_uid) == (second, two.sop_instance_uid)
    assert dcmread(first).StudyInstanceUID != dcmread(third).StudyInstanceUID
    assert three.sop_instance_uid != one.sop_instance_uid


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_that_is_cut_off_or_far_too_large_cannot_be_read(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a", format=kind)
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) // 2])
    with pytest.raises(UnsuitableInput, match="cannot be read: the picture is damaged"):
        write_radiograph(tmp_path / "cut", tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)  # 64 x 64 are more
    with pytest.raises(UnsuitableInput, match="larger than any film"):
        write_radiograph(tmp_path / "a", tmp_path)


def test_what_a_picture_is_stands_in_its_first_bytes_not_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    Image.fromarray((GREY % 251).astype(np.uint8)).save(tmp_path / "b.dcm", format="PNG")
    assert [picture_format(tmp_path / name) for name in ("a.png", "b.dcm", "none")] == [None, "PNG", None]
    with pytest.raises(UnsuitableInput, match="is no picture"):
        write_radiograph(tmp_path / "a.png", tmp_path)
