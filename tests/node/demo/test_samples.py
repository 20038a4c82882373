"""The demo's samples have known answers, are the same every time, and are valid DICOM."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from node.demo import samples
from node.demo.scanner import File
from tests.needs import missing

MADE_HERE = [sample for sample in samples.SAMPLES if not sample.real]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each sample that is made here, by its title."""
    folders = {}
    for sample in MADE_HERE:
        folders[sample.title] = tmp_path_factory.mktemp("sample")
        sample.write(folders[sample.title])
    return folders


def test_the_knee_lies_where_its_headers_say(written: dict[str, Path]) -> None:
    """The phantom's lesion, fibula and patella, found by headers alone: medial, lateral and anterior, a right knee."""
    expected = {  # signal by point in patient LPS, mm
        (24, 12, 8): 0.45,  # lesion
        (-36, 24, -40): 0.72,  # marrow of the fibula
        (36, 24, -40): 0.34,  # muscle, on the other side
        (-2, -40, 26): 0.72,  # patella
        (0, -75, 0): 0.0,  # air
    }
    for point, signal in expected.items():
        found = value_at(written[MADE_HERE[0].title], np.array(point, dtype=float))
        # noise of 1.2 %, averaged over 9 pixels; the nearest slice is up to 2 mm away
        assert found / samples.KNEE_SCALE == pytest.approx(signal, abs=0.05), point


def value_at(folder: Path, point: np.ndarray) -> float:
    """Mean of 3 x 3 pixels about `point` (LPS, mm) in the slice nearest to it, by PS3.3 C.7.6.2.1.1."""
    slices = [pydicom.dcmread(path) for path in folder.iterdir()]
    cosines = np.array(slices[0].ImageOrientationPatient, dtype=float)
    row, column, normal = cosines[:3], cosines[3:], np.cross(cosines[:3], cosines[3:])
    nearest = min(slices, key=lambda ds: abs((point - np.array(ds.ImagePositionPatient, dtype=float)) @ normal))
    offset = point - np.array(nearest.ImagePositionPatient, dtype=float)
    j, i = round(offset @ column / nearest.PixelSpacing[0]), round(offset @ row / nearest.PixelSpacing[1])
    return float(nearest.pixel_array[j - 1 : j + 2, i - 1 : i + 2].mean())


def test_slices_lie_one_spacing_apart(written: dict[str, Path]) -> None:
    paths = sorted(written[MADE_HERE[0].title].iterdir())
    slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    steps = np.diff(np.array([ds.ImagePositionPatient for ds in slices], dtype=float), axis=0)
    assert np.linalg.norm(steps, axis=1) == pytest.approx(4.0, abs=1e-4)
    assert len(slices) == 24


@pytest.mark.parametrize("sample", MADE_HERE, ids=lambda sample: sample.title)
def test_a_sample_is_one_study_the_same_every_time(
    sample: samples.Sample, written: dict[str, Path], tmp_path: Path
) -> None:
    sample.write(tmp_path)
    files = sorted(path.name for path in tmp_path.iterdir())
    before = written[sample.title]
    assert files == sorted(path.name for path in before.iterdir())
    assert all((tmp_path / name).read_bytes() == (before / name).read_bytes() for name in files)
    read = [File.read(tmp_path / name) for name in files]
    assert None not in read
    assert len({file.study_instance_uid for file in read if file}) == 1
    assert len({file.sop_instance_uid for file in read if file}) == len(files)


@pytest.mark.validators
@pytest.mark.parametrize("sample", MADE_HERE, ids=lambda sample: sample.title)
def test_a_sample_is_valid_dicom(sample: samples.Sample, written: dict[str, Path]) -> None:
    """dciodvfy tells its findings on standard error; its exit code says nothing."""
    program = Path(sys.executable).with_name("dciodvfy")
    if not program.exists():
        missing("dicom3tools is not installed")
    paths = sorted(written[sample.title].iterdir())
    for path in {paths[0], paths[-1]}:
        told = subprocess.run([program, path], capture_output=True, text=True, timeout=60, check=False).stderr
        assert [line for line in told.splitlines() if line.startswith("Error")] == []


@pytest.mark.shared_data
def test_the_real_knee_is_among_the_samples_where_the_shared_data_is(shared_data: Path, tmp_path: Path) -> None:
    (real,) = [sample for sample in samples.SAMPLES if sample.real]
    assert real.available()
    real.write(tmp_path)
    assert len(list(tmp_path.iterdir())) == 96


def test_the_record_is_of_the_patient_in_the_images(written: dict[str, Path]) -> None:
    """The node would not join them otherwise."""
    (sample,) = [sample for sample in samples.SAMPLES if sample.record]
    assert sample.record is not None
    ds = pydicom.dcmread(next(written[sample.title].iterdir()), stop_before_pixels=True)
    (patient,) = [
        entry["resource"] for entry in sample.record()["entry"] if entry["resource"]["resourceType"] == "Patient"
    ]
    assert [identifier["value"] for identifier in patient["identifier"]] == [ds.PatientID]
    assert patient["birthDate"].replace("-", "") == ds.PatientBirthDate
    assert patient["gender"] == {"F": "female", "M": "male"}[ds.PatientSex]
    assert (patient["name"][0]["family"], patient["name"][0]["given"][0]) == tuple(str(ds.PatientName).split("^"))
