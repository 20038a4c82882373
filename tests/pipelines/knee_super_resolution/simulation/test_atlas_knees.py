"""Knees in the shape of an atlas; the atlas here is a bone in a muscle, with cartilage on one side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from pipelines.knee_super_resolution.simulation import atlas_knees
from pipelines.knee_super_resolution.simulation.atlas_knees import (
    read_anatomies,
    read_anatomy,
    simulate_atlas_knee,
    structure_of,
)


def write_atlas(folder: Path) -> None:
    """A bone 20 mm wide in a muscle 44 mm wide, under 4 mm of cartilage at its front; LPS, slices of 2 mm."""
    labels = np.zeros((30, 90, 90), np.int16)  # (z, y, x)
    labels[:, 23:67, 23:67] = 12
    labels[:, 35:55, 35:55] = 95
    labels[:, 31:35, 35:55] = 83
    image = SimpleITK.GetImageFromArray(labels)
    image.SetSpacing((1.0, 1.0, 2.0))
    SimpleITK.WriteImage(image, str(folder / "seg.nrrd"))
    (folder / "names.ctbl").write_text(
        "# a table\n12 gracilis_muscle 1 2 3 255\n95 femur 1 2 3 255\n83 femoral_cartilage 1 2 3 255\n"
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("femur", "bone"),
        ("tibialis_anterior_muscle", "muscle"),
        ("popliteal_artery", "vessel"),
        ("iliotibial_tract", "ligament"),
        ("lateral_tibial_cartilage", "cartilage"),
        ("infrapatellar_fat_body", None),
    ],
)
def test_a_structure_is_known_by_its_name(name: str, kind: str | None) -> None:
    assert structure_of(name) == kind


def test_distances_are_in_millimetres_from_the_surface(tmp_path: Path) -> None:
    write_atlas(tmp_path)
    anatomy = read_anatomy(tmp_path / "names.ctbl")
    assert anatomy.spacing_mm == (2.0, 1.0, 1.0)
    bone = anatomy.distances["bone"]
    assert bone[15, 45, 45] == pytest.approx(-10, abs=1)
    assert bone[15, 45, 62] == pytest.approx(7.5, abs=1)
    assert anatomy.distances["cartilage"][15, 33, 45] < 0 < anatomy.distances["cartilage"][15, 45, 45]
    assert anatomy.distances["body"][15, 45, 20] < 0  # fat under the skin, outside the muscle
    assert anatomy.distances["body"][15, 3, 3] > 0


def test_a_folder_without_a_table_has_no_anatomy_and_a_table_alone_is_told(tmp_path: Path) -> None:
    write_atlas(tmp_path)
    assert [each.name for each in read_anatomies(tmp_path)] == [tmp_path.name]
    (tmp_path / "seg.nrrd").unlink()
    assert read_anatomies(tmp_path) == []
    with pytest.raises(FileNotFoundError, match="no label map"):
        read_anatomy(tmp_path / "names.ctbl")


def test_the_same_seed_gives_the_same_knee_with_the_spacing_that_was_asked_for(tmp_path: Path) -> None:
    write_atlas(tmp_path)
    anatomy = read_anatomy(tmp_path / "names.ctbl")
    one, again = (simulate_atlas_knee(anatomy, 3, (24, 28, 26), (1.2, 0.8, 0.9)) for _ in range(2))
    assert one.spacing_mm == (1.2, 0.8, 0.9)
    assert one.array.shape == (24, 28, 26)
    assert np.array_equal(one.array, again.array)
    assert not np.array_equal(one.array, simulate_atlas_knee(anatomy, 4, (24, 28, 26), (1.2, 0.8, 0.9)).array)


def test_bone_is_bright_without_fat_suppression_and_dark_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atlas(tmp_path)
    anatomy = read_anatomy(tmp_path / "names.ctbl")
    still = np.stack(
        np.meshgrid(*(np.linspace(8, 21, 40), np.linspace(27, 63, 40), np.linspace(27, 63, 40)), indexing="ij")
    )
    monkeypatch.setattr(atlas_knees, "_points", lambda *_: still.astype(np.float32))

    def marrow_over_muscle(contrast: str) -> float:
        ratios = []
        for seed in range(6):
            image = simulate_atlas_knee(anatomy, seed, (23, 23, 23), (1.0, 1.0, 1.0), contrast).array  # type: ignore[arg-type]
            ratios.append(float(np.median(image[:, 9:14, 9:14])) / float(np.median(image[:, 8:15, 20:])))
        return float(np.median(ratios))

    assert marrow_over_muscle("pd") > 1.3
    assert marrow_over_muscle("pd_fs") < 0.6
