"""The methods that ours is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.knee_super_resolution.degradation import SliceProfile, along_slices, forward_matrix
from pipelines.knee_super_resolution.evaluation import rivals
from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter, simulate_knee
from pipelines.knee_super_resolution.training import dictionary
from pipelines.knee_super_resolution.training.tasks import Task, degraded
from pipelines.knee_super_resolution.training.volumes import ThinVolume

torch.set_num_threads(1)


def edge_task(factor: int = 3) -> tuple[Task, np.ndarray]:
    """A tilted edge, where what is thin in the plane tells what is thin across it."""
    d, h, w = np.meshgrid(np.arange(37), np.arange(40), np.arange(24), indexing="ij")
    array = (0.2 + 0.6 / (1 + np.exp(-(h - 20 + 0.8 * (d - 18)) / 0.8)) + 0 * w).astype(np.float32)
    return degraded(ThinVolume("edge", "edge", array, (1.0, 1.0, 1.0)), 0, factor)


def error(result: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((result - truth) ** 2)))


def test_self_super_resolution_beats_the_spline_on_a_tilted_edge() -> None:
    task, truth = edge_task()
    assert error(rivals.selfsr(task, steps=25, batch=4, size=20), truth) < error(rivals.tci(task), truth)


def test_sparse_coding_learns_to_sharpen_an_edge(tmp_path: Path) -> None:
    volume = ThinVolume("c", "c", simulate_clutter(2, (40, 40, 40), 150), (1.0, 1.0, 1.0))
    folder = tmp_path / "models"
    folder.mkdir()
    dictionary.save_dictionary(dictionary.train_dictionary([volume], 3, seed=0, patches=800), 3, folder)
    task, truth = edge_task()
    assert error(rivals.scsr(task, tmp_path), truth) < error(rivals.tci(task), truth)


def test_back_projection_gives_back_the_thick_slices() -> None:
    task, _ = edge_task()
    projected = rivals.back_projected(task, np.zeros((task.count, 40, 24), np.float32))
    again = along_slices(forward_matrix(task.fine, task.coarse, SliceProfile("fir")), projected)
    assert error(again, task.thick) < 5e-3


def test_deepresolve_is_nearer_to_a_knee_than_the_spline() -> None:
    array = simulate_knee(9_000_051, (33, 48, 44), 0.9).array
    task, truth = degraded(ThinVolume("knee", "knee", array / array.max(), (0.9, 0.9, 0.9)), 0, 2)
    assert error(rivals.deepresolve(task), truth) < 0.95 * error(rivals.tci(task), truth)


def test_a_factor_without_weights_says_so() -> None:
    task, _ = edge_task(5)
    with pytest.raises(FileNotFoundError):
        rivals.deepresolve(task)
    with pytest.raises(FileNotFoundError):
        rivals.scsr(task)
