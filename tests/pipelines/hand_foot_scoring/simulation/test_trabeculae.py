"""Texture from a micro-CT: of unit spread, as coarse as bone is, and nothing where there is no micro-CT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter

from pipelines.hand_foot_scoring.simulation.trabeculae import FOLDER, Trabeculae, trabeculae


@pytest.fixture(scope="module")
def bone(tmp_path_factory: pytest.TempPathFactory) -> Trabeculae:
    folder = tmp_path_factory.mktemp("ct") / FOLDER
    folder.mkdir()
    volume = gaussian_filter(np.random.default_rng(0).standard_normal((200, 200, 200)).astype(np.float32), 8)
    volume = np.clip(127 + 60 * volume / volume.std(), 0, 255).astype(np.uint8)
    for number, slice_ in enumerate(volume):
        Pillow.fromarray(slice_).save(folder / f"{number:04d}.tif")
    found = trabeculae(folder.parent)
    assert found is not None
    return found


def test_slabs_are_seen_from_three_sides(bone: Trabeculae) -> None:
    assert bone.slabs.shape == (12, 200, 200)
    assert abs(float(bone.slabs.mean())) < 0.2


@pytest.mark.parametrize("pixel_mm", [0.2, 0.375])
def test_a_texture_has_unit_spread_and_no_seams(bone: Trabeculae, pixel_mm: float) -> None:
    field = bone.texture((150, 130), pixel_mm, np.random.default_rng(1))
    assert field.shape == (150, 130)
    assert field.std() == pytest.approx(1.0, abs=0.01)
    assert abs(float(field.mean())) < 0.2
    jumps = np.abs(np.diff(field, axis=0)).mean(axis=1)
    assert jumps.max() < 2.5 * np.median(jumps)


def test_the_same_seed_gives_the_same_texture_and_another_gives_another(bone: Trabeculae) -> None:
    first, again, other = (bone.texture((40, 40), 0.3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_without_a_micro_ct_there_is_no_texture(tmp_path: Path) -> None:
    assert trabeculae(tmp_path) is None
