"""Training and evaluation as programs, small enough for a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.hand_foot_scoring import BUNDLE, FILES, HandFootScoring, HandFootScoringSettings, weights
from pipelines.hand_foot_scoring.calibration import POOLINGS
from pipelines.hand_foot_scoring.canvas import CANVAS
from pipelines.hand_foot_scoring.evaluation import evaluate
from pipelines.hand_foot_scoring.heads import MAXIMUM
from pipelines.hand_foot_scoring.network import OTHER_POSE, Damage, Localiser
from pipelines.hand_foot_scoring.simulation.crops import simulated
from pipelines.hand_foot_scoring.sites import CLASSES
from pipelines.hand_foot_scoring.training import train
from pipelines.hand_foot_scoring.training.damage_heads import all_zero, by_family, joints, scores, train_damage
from pipelines.hand_foot_scoring.training.localiser import Samples, mask_loss, rate, sample, train_localiser
from pipelines.lab.checkpoint import Checkpoint


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
    train_localiser(0, 52, batch=2, report=lambda step, loss: losses.append(loss))
    assert losses[-1] < 0.8 * losses[0]


def test_heads_can_learn_what_they_are_shown() -> None:
    crops = simulated(1, 4, even=1, oddities=0.0, children=0.0, sites_each=5)
    network = train_damage(crops, "local_smoothing", 0, epochs=40, batch=40)
    rows = joints(crops)
    mine, nothing = by_family(scores(network, crops), rows), all_zero(rows)
    for head in MAXIMUM:
        assert mine[head]["all"].rmse < 0.7 * nothing[head]["all"].rmse
        assert mine[head]["all"].kappa > 0.3
    assert "foot" in mine["narrowing"]


@pytest.mark.parametrize(("step", "share"), [(0, 0.04), (25, 1.0), (59, 1.0), (80, 0.5), (100, 0.0)])
def test_the_learning_rate_rises_stays_and_falls_to_nothing(step: int, share: float) -> None:
    assert rate(step, 100) == pytest.approx(share, abs=1e-9)


def test_a_broken_off_training_of_the_heads_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    crops = simulated(1, 2, even=1, sites_each=4)
    whole = train_damage(crops, "local_smoothing", 0, epochs=3, batch=16)
    kept = Checkpoint(tmp_path / "state", "three epochs")

    def killed(epoch: int, loss: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_damage(crops, "local_smoothing", 0, epochs=3, batch=16, report=killed, checkpoint=kept)
    epochs: list[int] = []
    resumed = train_damage(
        crops, "local_smoothing", 0, 3, batch=16, report=lambda epoch, loss: epochs.append(epoch), checkpoint=kept
    )
    assert epochs == [2]
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)


def test_a_folder_with_the_state_of_another_training_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Checkpoint(tmp_path / "localiser.training", "localiser, seed 7, 500 steps")
    kept.save(50)
    assert train.main(["--output", str(tmp_path), "--threads", "1", "--only", "localiser", "--steps", "2"]) == 2
    assert "localiser.training" in capsys.readouterr().out.replace("\n", "")
    assert kept.resume() == 50


def test_the_command_writes_a_bundle_that_loads(tmp_path: Path) -> None:
    common = ["--output", str(tmp_path), "--threads", "1"]
    assert train.main([*common, "--only", "shape", "--only", "localiser", "--steps", "2"]) == 0
    small = ["--patients", "3", "--epochs", "1", "--calibration-patients", "2"]
    assert train.main([*common, "--only", "damage", "--only", "calibration", *small]) == 0
    assert not list(tmp_path.glob("*.training"))  # a training that is over keeps no state
    loaded = weights.load(tmp_path)
    assert loaded.damage.loss == "local_smoothing"
    out = tmp_path / "figures.json"
    assert evaluate.main(["--bundle", str(tmp_path), "--patients", "2", "--json", str(out), "--threads", "1"]) == 0
    figures = json.loads(out.read_text())
    assert set(figures["calibration_error"]) == set(MAXIMUM)
    assert 0 <= figures["interval_coverage"] <= 1
    assert figures["surrogate"]["erosion_rmse"] > 0
    assert set(figures["pooling"]) == set(POOLINGS)
    assert set(figures["open_plates"]) == {"5 to 9", "9 to 13", "13 to 15", "15 to 16.5", "grown"}


def test_the_ablation_compares_every_loss_on_the_same_crops(tmp_path: Path) -> None:
    out = tmp_path / "ablation.json"
    options = ["--ablation", "--patients", "1", "--train-patients", "3", "--epochs", "1", "--seeds", "1"]
    assert evaluate.main([*options, "--json", str(out), "--threads", "1"]) == 0
    figures = json.loads(out.read_text())
    assert set(figures["losses"]) == {"all zero", "cross_entropy", "mse", "gaussian", "coral", "local_smoothing"}
    assert len(figures["losses"]["coral"]["narrowing"]["all"]["kappa"]) == 2


def test_the_shipped_bundle_is_whole_and_small(networks: None) -> None:
    for name in FILES:
        assert (BUNDLE / name).exists(), name
        assert (BUNDLE / name).stat().st_size < 4 * 1024 * 1024
    assert len(HandFootScoring(HandFootScoringSettings()).model.weights_digest) == 64


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
