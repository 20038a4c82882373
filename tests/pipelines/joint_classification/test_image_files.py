"""Pictures and scans in files; the formats themselves are read in `training/test_folder`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification.image_files import image_files, read_picture, read_scan


def test_pictures_and_scans_are_told_apart_and_a_folder_of_slices_is_one_scan(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "x/1.dcm", "x/2.dcm", "scan.nii.gz", "head.AIM", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in image_files(tmp_path, 2)] == ["a.jpg", "b.PNG", "1.dcm", "2.dcm"]
    assert [path.name for path in image_files(tmp_path, 3)] == ["head.AIM", "scan.nii.gz", "x"]


@pytest.mark.parametrize(("dimensions", "what"), [(2, "ultrasound picture"), (3, "HR-pQCT scan")])
def test_a_folder_without_any_is_told_what_was_looked_for(tmp_path: Path, dimensions: int, what: str) -> None:
    with pytest.raises(UnsuitableInput, match=f"holds no {what}; known are"):
        image_files(tmp_path, dimensions)


def test_a_file_that_is_no_picture_is_unsuitable(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UnsuitableInput, match="is no picture"):
        read_picture(tmp_path / "a.png", 38.0)


def test_a_flat_image_is_no_scan_and_spacing_is_in_the_order_of_the_axes(tmp_path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((4, 5), np.float32)), str(tmp_path / "flat.mha"))
    with pytest.raises(UnsuitableInput, match="is not a volume"):
        read_scan(tmp_path / "flat.mha")
    image = SimpleITK.GetImageFromArray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    image.SetSpacing((0.1, 0.2, 0.3))
    SimpleITK.WriteImage(image, str(tmp_path / "scan.mha"))
    array, spacing_mm = read_scan(tmp_path / "scan.mha")
    assert array.shape == (2, 3, 4)
    assert spacing_mm == pytest.approx((0.3, 0.2, 0.1))
