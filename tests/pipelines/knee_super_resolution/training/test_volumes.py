"""Volumes to learn from and to be judged by."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training.volumes import (
    ThinVolume,
    densified,
    held_back,
    read_volumes,
    simulated_volumes,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("volumes")
    array = simulate_clutter(1, (30, 36, 32), 100)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([0.8, 0.8, 0.8, 1.0])), made / "one.nii.gz")
    return made


def test_spacing_and_subject_come_from_the_file(folder: Path) -> None:
    (volume,) = read_volumes(folder)
    assert volume.spacing_mm == pytest.approx((0.8, 0.8, 0.8))
    assert (volume.name, volume.subject, volume.thin_axes) == ("one", "one", (0, 1, 2))
    assert volume.array.shape == (32, 36, 30)  # SimpleITK's order: the last file axis first


def test_label_images_are_no_volumes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one-label.nii.gz").write_bytes((folder / "one.nii.gz").read_bytes())
    assert list(read_volumes(tmp_path)) == []


def test_all_volumes_of_a_subject_fall_on_the_same_side_and_about_a_seventh_is_held_back() -> None:
    volumes = [ThinVolume(str(n), f"subject {n}", np.zeros((1, 1, 1), np.float32), (1, 1, 1)) for n in range(400)]
    other = [ThinVolume("other echo", each.subject, each.array, each.spacing_mm) for each in volumes]
    sides = [held_back(each) for each in volumes]
    assert sides == [held_back(each) for each in other]
    assert 0.1 < np.mean(sides) < 0.2


def test_a_thick_axis_is_filled_in_and_a_thin_one_left() -> None:
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None], (8, 30, 30))
    filled = densified(ThinVolume("v", "v", ramp, (4.0, 1.0, 1.0)))
    assert filled.spacing_mm[0] == pytest.approx(1.515)
    assert filled.array[:, 0, 0] == pytest.approx(np.arange(len(filled.array)) * 1.515 / 4, abs=1e-4)
    thin = ThinVolume("v", "v", ramp, (1.0, 1.0, 1.0))
    assert densified(thin) is thin


def test_the_same_seed_simulates_the_same_volumes() -> None:
    one, two = (next(simulated_volumes(5, 0, 1)) for _ in range(2))
    assert np.array_equal(one.array, two.array)


def test_the_slices_of_a_three_dimensional_series_are_thin_though_its_pixels_are_finer() -> None:
    array = np.zeros((40, 40, 40), np.float32)
    assert ThinVolume("dess", "one", array, (0.7, 0.36, 0.46)).thin_axes == (0, 1, 2)
    assert ThinVolume("fast spin echo", "one", array, (3.0, 0.36, 0.46)).thin_axes == (1, 2)


def test_a_label_map_with_a_table_of_names_is_no_image(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((30, 30, 30), np.float32), np.eye(4)), tmp_path / "seg.nii.gz")
    assert len(list(read_volumes(tmp_path))) == 1
    (tmp_path / "names.ctbl").write_text("1 femur 0 0 0 255\n")
    assert list(read_volumes(tmp_path)) == []
