"""Folders of real cases: the same head in every format comes out the same, and what is wrong is named."""

from __future__ import annotations

import csv
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification.geometry import SIZE_3D, VOXEL_MM
from pipelines.joint_classification.prepare import prepare
from pipelines.joint_classification.simulation import metacarpal, ultrasound
from pipelines.joint_classification.simulation.screen import show
from pipelines.joint_classification.training.folder import data_digest, read_folder, read_labels
from tests.pipelines.joint_classification.test_scanco import aim


@pytest.fixture(scope="module")
def head() -> NDArray[np.int16]:
    """A simulated head as a scanner would store it: (D, H, W) signed 16 bit."""
    image = metacarpal.simulate(np.random.default_rng(3), "ra", 0, 0.8, motion=1, step=1).image
    return np.round(8000 * image).astype(np.int16)


def table(folder: Any, rows: Any) -> None:
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "patient", "label", "age", "sex", "width_mm"], restval="")
        writer.writeheader()
        writer.writerows(rows)


def isq(array: NDArray[np.int16], spacing_mm: float) -> bytes:
    slices, rows, columns = array.shape
    um = [round(n * spacing_mm * 1000) for n in (columns, rows, slices)]
    header = b"CTDATA-HEADER_V1" + struct.pack("<7i", 3, array.nbytes, array.nbytes // 512, 1, 1, 0, 0)
    header += struct.pack("<6i", columns, rows, slices, *um)
    return header.ljust(508, b"\0") + struct.pack("<i", 0) + array.astype("<i2").tobytes()


def write_slices(folder: Any, array: Any, spacing_mm: Any) -> None:
    folder.mkdir()
    study, series, frame = (generate_uid(entropy_srcs=[name]) for name in ("study", "series", "frame"))
    for number, plane in enumerate(array):
        ds = pydicom.Dataset()
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid(entropy_srcs=[str(number)])
        ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.Modality, ds.PatientID, ds.ImageType = "CT", "SIM", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, number * spacing_mm]
        ds.PixelSpacing, ds.SliceThickness = [spacing_mm] * 2, spacing_mm
        ds.Rows, ds.Columns = plane.shape
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
        ds.PixelData = plane.tobytes()
        ds.save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)


def test_the_same_head_in_every_format_is_the_same_to_the_network(tmp_path: Path, head: Any) -> None:
    spacing = VOXEL_MM
    (tmp_path / "a.aim;1").write_bytes(aim(head, 0x00020002, spacing=(spacing,) * 3))
    (tmp_path / "b.AIM").write_bytes(aim(head, 0x00020002, version=30, spacing=(spacing,) * 3))
    (tmp_path / "c.ISQ").write_bytes(isq(head, spacing))
    image = SimpleITK.GetImageFromArray(head)
    image.SetSpacing((spacing,) * 3)
    for name in ("d.nii.gz", "e.mha", "f.nrrd"):
        SimpleITK.WriteImage(image, str(tmp_path / name))
    write_slices(tmp_path / "g", head, spacing)
    names = ["a.aim;1", "b.AIM", "c.ISQ", "d.nii.gz", "e.mha", "f.nrrd", "g"]
    table(
        tmp_path,
        [{"file": n, "patient": f"p{i // 2}", "label": "ra", "age": "61", "sex": "f"} for i, n in enumerate(names)],
    )
    made = read_folder(tmp_path, 3)
    assert made.images.shape == (7, 1, *SIZE_3D)
    for image in made.images[1:]:
        np.testing.assert_allclose(image, made.images[0], atol=2e-3)
    assert made.labels.tolist() == [1] * 7
    assert made.patients.tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert made.ages.tolist() == [61.0] * 7
    assert made.female.tolist() == [1.0] * 7
    mask = read_folder(tmp_path, 3, "mask").images[0, 0]
    assert len(np.unique(mask)) < len(np.unique(made.images[0, 0])) / 4


def test_an_ultrasound_picture_is_read_as_the_node_reads_it(tmp_path: Path) -> None:
    case = ultrasound.simulate(np.random.default_rng(5), "psa", 0, 0.7)
    shown = show(case.image, pixel_mm=0.07)
    left, top, right, bottom = shown.box
    Image.fromarray(shown.pixels[top : bottom + 1, left : right + 1]).save(tmp_path / "a.png")
    width = f"{(right - left + 1) * 0.07:.2f}"
    table(tmp_path, [{"file": "a.png", "patient": "p", "label": "unknown", "width_mm": width}])
    made = read_folder(tmp_path, 2)
    assert made.labels.tolist() == [-1]
    assert made.kinds == ("unknown",)
    assert np.isnan(made.ages[0])
    assert np.isnan(made.female[0])
    straight = prepare(case.image)
    shifts = [np.corrcoef(np.roll(made.images[0, 0], s, 0).ravel(), straight.ravel())[0, 1] for s in range(-8, 9)]
    assert max(shifts) > 0.8  # the skin is put at one depth, so the picture moves up or down


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"file": "none.nii", "patient": "p", "label": "ra"}, "line 2: there is no file none.nii"),
        (
            {"file": "labels.csv", "patient": "p", "label": "gout"},
            "line 2: label 'gout' is not one of healthy, ra, psa, unknown",
        ),
        ({"file": "labels.csv", "patient": "", "label": "ra"}, "line 2: column 'patient' is empty"),
        ({"file": "labels.csv", "patient": "p", "label": "ra"}, "labels.csv: "),
        ({"file": "labels.csv", "patient": "p", "label": "RA", "sex": "x"}, "line 2: sex 'x' is neither F nor M"),
        ({"file": "labels.csv", "patient": "p", "label": "ra", "age": "4,5"}, "line 2: age '4,5' is no number above 0"),
        ({"file": "../a.nii", "patient": "p", "label": "ra"}, "line 2: ../a.nii lies outside the folder"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path, row: Any, words: str) -> None:
    table(tmp_path, [row])
    with pytest.raises(UnsuitableInput, match=words):
        read_folder(tmp_path, 3)


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableInput, match=r"has no labels\.csv; the layout `labels` is a folder with that table"):
        read_folder(tmp_path, 2)
    table(tmp_path, [])
    with pytest.raises(UnsuitableInput, match="has no rows"):
        read_folder(tmp_path, 2)


def test_a_table_without_a_column_is_told_which(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file;patient;label\n")
    with pytest.raises(UnsuitableInput, match=r"has no column file, patient, label; .* separated by commas"):
        read_labels(tmp_path)


def test_a_file_that_stands_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    row = {"file": "labels.csv", "patient": "p", "label": "ra"}
    table(tmp_path, [row, row])
    with pytest.raises(UnsuitableInput, match=r"line 3: labels\.csv stands on line 2 too"):
        read_labels(tmp_path)


def test_a_table_of_another_encoding_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("file,patient,label\nü.png,p,ra\n".encode("cp1252"))
    with pytest.raises(UnsuitableInput, match="not in UTF-8"):
        read_labels(tmp_path)


def test_the_digest_of_a_folder_follows_the_table_and_the_files_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "1.dcm").write_bytes(b"1")
    rows = [{"file": "a.png", "patient": "p", "label": "ra"}, {"file": "scan", "patient": "p", "label": "ra"}]
    table(tmp_path, rows)
    before = data_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("not trained on")
    assert data_digest(tmp_path) == before
    (tmp_path / "scan" / "1.dcm").write_bytes(b"2")
    changed = data_digest(tmp_path)
    assert changed != before
    table(tmp_path, [rows[1] | {"label": "psa"}, rows[0]])
    assert data_digest(tmp_path) not in (before, changed)


@pytest.mark.shared_data
def test_a_format_sample_that_shows_no_bone_end_is_refused_by_name(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "hrpqct/ormir-xct-format/test_aim.AIM"
    (tmp_path / "sphere.AIM").write_bytes(source.read_bytes())
    table(tmp_path, [{"file": "sphere.AIM", "patient": "p", "label": "healthy"}])
    with pytest.raises(UnsuitableInput, match=r"sphere\.AIM: "):
        read_folder(tmp_path, 3)
