"""FilmSite and damage in one network: which pixels count, and that both tasks teach it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.hand_foot_scoring.evaluation import evaluate
from pipelines.hand_foot_scoring.heads import MAXIMUM
from pipelines.hand_foot_scoring.network import Localiser
from pipelines.hand_foot_scoring.sites import CLASSES
from pipelines.hand_foot_scoring.training import multitask
from pipelines.hand_foot_scoring.training.losses import grade_loss


@pytest.fixture(scope="module")
def films() -> multitask.Films:
    return multitask.simulated(0, 2, even=1)


def test_features_are_averaged_over_the_positive_pixels_of_a_site_only() -> None:
    features = torch.arange(2 * 3 * 2 * 2, dtype=torch.float32).reshape(2, 3, 2, 2)
    classes = torch.tensor([[[4, 4], [0, 255]], [[0, 7], [255, 255]]])
    means = multitask.pixel_means(features, classes)
    assert means.shape == (2, CLASSES, 3)
    torch.testing.assert_close(means[0, 4], features[0, :, 0, :].mean(dim=1))
    torch.testing.assert_close(means[1, 7], features[1, :, 0, 1])
    torch.testing.assert_close(means[1, 4], torch.zeros(3))


def test_every_joint_of_a_film_has_a_crop_and_positive_pixels_where_it_is_on_the_canvas(films: multitask.Films) -> None:
    assert len(films.canvases) == 8
    for film in range(8):
        rows = films.rows(np.array([film]))
        assert len(rows) in (22, 6)
        shown = set(np.unique(films.masks[film]).tolist()) - {0, 255}
        assert shown <= set(films.crops.sites[rows].tolist())
        assert len(shown) >= 0.6 * len(rows)


def test_grades_teach_the_localiser_as_well(films: multitask.Films) -> None:
    torch.manual_seed(0)
    network = multitask.MultiTask(Localiser(), "pixels")
    rows = films.rows(np.array([0]))
    _, raw = network(
        torch.from_numpy(films.canvases[:1].astype(np.float32)),
        torch.from_numpy(films.masks[:1]),
        torch.zeros(len(rows), dtype=torch.long),
        torch.from_numpy(films.crops.floats(rows)),
        torch.from_numpy(films.crops.sites[rows]),
    )
    grade = torch.from_numpy(films.crops.narrowing[rows])
    grade_loss("local_smoothing", raw["narrowing"], grade, 4).backward()  # type: ignore[no-untyped-call]
    taught = next(network.localiser.stem.parameters()).grad
    assert taught is not None
    assert float(taught.abs().max()) > 0
    first = next(network.damage.trunk.parameters())
    assert first.grad is None  # the crop is not looked at


def test_the_command_compares_the_branches(networks: None, tmp_path: Path) -> None:
    out = tmp_path / "branches.json"
    small = ["--multi-task", "--patients", "1", "--train-patients", "2", "--epochs", "1"]
    assert evaluate.main([*small, "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert (figures["train_films"], figures["test_films"]) == (8, 4)
    for branches in ("crop", "pixels", "both"):
        assert set(figures[branches]) == set(MAXIMUM)
        assert figures[branches]["narrowing"]["kappa"][0] <= 1
