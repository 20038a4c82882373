"""How folders of real volumes are arranged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_sr.errors import UnsuitableInput
from dicom_sr.phantoms import Person, study_header, write_knee_mr
from pipelines.knee_super_resolution.training.layouts import LAYOUTS
from pipelines.knee_super_resolution.training.volumes import ThinVolume, read_volumes


def series(folder: Path, description: str = "SAG_3D_DESS_LEFT") -> None:
    """A small series in a folder."""
    folder.mkdir(parents=True)
    for path in write_knee_mr(folder, study_header(Person(), "knee", "Knee"), (5, 24, 24), (1.0, 1.0, 1.0)):
        ds = pydicom.dcmread(path)
        ds.SeriesDescription = description
        ds.save_as(path)


def read(folder: Path, layout: str) -> list[ThinVolume]:
    return list(read_volumes(folder, LAYOUTS[layout]))


def test_every_scan_of_skm_tea_is_a_patient_and_masks_are_no_volumes(tmp_path: Path) -> None:
    import nibabel

    for number in (1, 27):
        series(tmp_path / "dicoms" / f"MTR_{number:03d}", "qDESS")
    masks = tmp_path / "segmentation_masks" / "dicom-track"
    masks.mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4)), masks / "MTR_001.nii.gz")
    assert [volume.subject for volume in read(tmp_path, "skm-tea")] == ["MTR_001", "MTR_027"]


def test_both_knees_and_all_visits_of_a_participant_of_the_oai_are_one_patient(tmp_path: Path) -> None:
    series(tmp_path / "0.C.2" / "9000099" / "20050712" / "10002345")
    series(tmp_path / "1.C.2" / "9000099" / "20060811" / "10009876", "SAG_3D_DESS_RIGHT")
    series(tmp_path / "0.C.2" / "9000296" / "20050712" / "10005555")
    series(tmp_path / "0.C.2" / "9000296" / "20050712" / "10005556", "COR_MPR_LEFT")  # the same voxels, turned
    assert [volume.subject for volume in read(tmp_path, "oai")] == ["9000099", "9000296", "9000099"]


def test_a_file_of_the_oai_names_its_participant_itself(tmp_path: Path) -> None:
    import nibabel

    name = "9003406_20041118_SAG_3D_DESS_LEFT_016610296205_image.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 8), np.int16), np.eye(4)), tmp_path / name)
    assert [volume.subject for volume in read(tmp_path, "oai")] == ["9003406"]


@pytest.mark.parametrize(("layout", "why"), [("oai", "no participant of the OAI"), ("skm-tea", "no scan of SKM-TEA")])
def test_a_folder_in_another_layout_is_said_to_be_so(tmp_path: Path, layout: str, why: str) -> None:
    series(tmp_path / "dicoms" / "anna", "SAG_3D_DESS")
    with pytest.raises(UnsuitableInput, match=why):
        read(tmp_path, layout)


def test_in_a_plain_folder_the_first_folder_is_the_patient(tmp_path: Path) -> None:
    series(tmp_path / "anna" / "2020" / "a", "T2")
    series(tmp_path / "berta", "PD")
    assert [volume.subject for volume in read(tmp_path, "folder")] == ["anna", "berta"]
