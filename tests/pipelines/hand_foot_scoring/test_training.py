"""Training and evaluation as programs, small enough for a test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.hand_foot_scoring import bundle, evaluate, train
from pipelines.hand_foot_scoring.crops import simulated
from pipelines.hand_foot_scoring.damage_training import (
    Calibration,
    all_zero,
    by_family,
    calibrate,
    calibration_errors,
    scores,
    train_damage,
)
from pipelines.hand_foot_scoring.digest import FILES, FOLDER, digest
from pipelines.hand_foot_scoring.localiser_training import Samples, mask_loss, rate, sample, train_localiser
from pipelines.hand_foot_scoring.network import CANVAS, CLASSES, MAXIMUM, OTHER_POSE, Damage, Localiser


def test_the_networks_have_the_shapes_they_say() -> None:
    mask, pose = Localiser().eval()(torch.zeros(2, 2, *CANVAS))
    assert mask.shape == (2, CLASSES, CANVAS[0] // 2, CANVAS[1] // 2)
    assert pose.shape == (2, OTHER_POSE + 1)
    raw = Damage().eval()(torch.zeros(3, 1, 64, 64), torch.tensor([1, 5, 28]))
    assert {name: value.shape[1] for name, value in raw.items()} == {
        "hand_erosion": 6,
        "foot_erosion": 11,
        "narrowing": 5,
        "state": 4,
        "plates": 1,
    }


def test_a_sample_has_a_mask_only_where_the_limb_stands_upright() -> None:
    masked = 0
    for seed in range(12):
        canvas, mask, pose = sample(np.random.default_rng(seed))
        assert canvas.shape == (2, *CANVAS)
        assert 0 <= pose <= OTHER_POSE
        if pose not in (0, 8, OTHER_POSE):  # turned or mirrored
            assert (mask == 255).all()
        else:
            masked += bool((mask < 255).any())
    assert masked >= 4


def test_samples_repeat_for_the_same_seed() -> None:
    first, again = (next(iter(Samples(3))) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])


def test_ignored_pixels_do_not_count_in_the_mask_loss() -> None:
    logits = torch.randn(1, CLASSES, 8, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 8, 8, dtype=torch.long)
    mask[0, 2:4, 2:4] = 5
    mask[0, 6] = 255
    before = mask_loss(logits, mask)
    logits[:, :, 6] += 100 * torch.randn(1, CLASSES, 8)
    torch.testing.assert_close(mask_loss(logits, mask), before)


def test_the_localiser_learns() -> None:
    losses: list[float] = []
    train_localiser(0, 52, batch=2, report=lambda step, loss, network: losses.append(loss))
    assert losses[-1] < 0.8 * losses[0]


def test_heads_can_learn_what_they_are_shown() -> None:
    crops = simulated(1, 4, even=True, oddities=0.0, children=0.0, sites_each=5)
    network = train_damage(crops, "local_smoothing", 0, epochs=40, batch=40)
    mine, nothing = by_family(scores(network, crops), crops), all_zero(crops)
    for head in MAXIMUM:
        assert mine[head]["all"].rmse < 0.7 * nothing[head]["all"].rmse
        assert mine[head]["all"].kappa > 0.3
    assert "foot" in mine["narrowing"]


@pytest.mark.parametrize(("step", "share"), [(0, 0.04), (25, 1.0), (59, 1.0), (80, 0.5), (100, 0.0)])
def test_the_learning_rate_rises_stays_and_falls_to_nothing(step: int, share: float) -> None:
    assert rate(step, 100) == pytest.approx(share, abs=1e-9)


def test_calibration_makes_confidence_honest() -> None:
    torch.manual_seed(0)
    network = Damage().eval()
    with torch.no_grad():  # an untrained network made sure of itself
        for head in MAXIMUM:
            network.heads[head].weight.mul_(40)  # type: ignore[operator]
    held = simulated(3, 5, even=False)
    raw = calibration_errors(scores(network, held), held)
    fitted = calibrate(network, held)
    assert isinstance(fitted, Calibration)
    better = calibration_errors(scores(network, held, fitted), held)
    assert sum(better.values()) < 0.3 * sum(raw.values())
    assert 0 <= fitted.correlation <= 1


def test_the_command_writes_a_bundle_that_loads(tmp_path: Path) -> None:
    common = ["--output", str(tmp_path), "--threads", "2"]
    assert train.main([*common, "--only", "localiser", "--steps", "2"]) == 0
    small = ["--patients", "3", "--epochs", "1", "--calibration-patients", "1"]
    assert train.main([*common, "--only", "damage", *small]) == 0
    loaded = bundle.load(tmp_path)
    assert loaded.damage.loss == "local_smoothing"
    out = tmp_path / "figures.json"
    assert evaluate.main(["--bundle", str(tmp_path), "--patients", "2", "--json", str(out), "--threads", "2"]) == 0
    figures = json.loads(out.read_text())
    assert set(figures["calibration_error"]) == set(MAXIMUM)
    assert 0 <= figures["interval_coverage"] <= 1
    assert figures["surrogate"]["erosion_rmse"] > 0


def test_the_ablation_compares_every_loss_on_the_same_crops(tmp_path: Path) -> None:
    out = tmp_path / "ablation.json"
    options = ["--ablation", "--patients", "1", "--train-patients", "3", "--epochs", "1", "--seeds", "1"]
    assert evaluate.main([*options, "--json", str(out), "--threads", "2"]) == 0
    figures = json.loads(out.read_text())
    assert set(figures["losses"]) == {"all zero", "cross_entropy", "mse", "gaussian", "coral", "local_smoothing"}
    assert len(figures["losses"]["coral"]["narrowing"]["all"]["kappa"]) == 2


def test_the_shipped_bundle_is_whole_and_small(networks: None) -> None:
    for name in FILES:
        assert (FOLDER / name).exists(), name
        assert (FOLDER / name).stat().st_size < 4 * 1024 * 1024
    assert len(digest()) == 64


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    return None
