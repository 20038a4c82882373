"""Looks of crops: alike is near, blurred or brighter is far, and a folder without marked pictures is an error."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from scipy.ndimage import gaussian_filter

from pipelines.hand_foot_scoring.evaluation.style import compare_styles, distances, looks, simulated_crops


def noise(seed: int, sigma: float) -> NDArray[np.float32]:
    field = np.random.default_rng(seed).standard_normal((12, 64, 64)).astype(np.float32)
    field = gaussian_filter(field, (0, sigma, sigma))
    return np.asarray(np.clip(field / (3 * field.std()), -1, 1), np.float32)


def test_crops_of_one_kind_are_near_and_of_another_far() -> None:
    fine, again, coarse = looks(noise(0, 1.0)), looks(noise(1, 1.0)), looks(noise(2, 2.0))
    near, far = distances(fine, again), distances(fine, coarse)
    assert near["spectrum_db"] < 1
    assert far["spectrum_db"] > 10 * near["spectrum_db"]
    assert far["gradient"] > 5 * near["gradient"]
    assert near["grey"] < 0.02


def test_a_spectrum_is_in_decibels() -> None:
    crops = noise(0, 1.0)
    np.testing.assert_allclose(looks(crops).power_db - looks(crops / np.float32(10)).power_db, 20, atol=0.1)


def test_without_pictures_there_are_rendered_crops_only(tmp_path: Path) -> None:
    made = simulated_crops(tmp_path, 0, 1)
    assert {name: len(crops) for name, crops in made["rendered"].items()} == {
        "MCP": 5,
        "PIP and IP": 5,
        "wrist": 12,
        "foot": 6,
    }
    assert not any(made["painted"].values())


def test_a_folder_without_marked_pictures_is_said_to_have_none(tmp_path: Path) -> None:
    options = argparse.Namespace(films=tmp_path, seed=0, patients=1)
    with pytest.raises(FileNotFoundError, match="no picture that is marked"):
        compare_styles(options, Console(quiet=True))
