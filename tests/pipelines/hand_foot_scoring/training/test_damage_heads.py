"""The damage heads learn, and an interrupted training ends where an uninterrupted one does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.hand_foot_scoring.evaluation.agreement import all_zero, by_family, scores
from pipelines.hand_foot_scoring.heads import MAXIMUM
from pipelines.hand_foot_scoring.network import Damage
from pipelines.hand_foot_scoring.simulation.crops import NONE, simulated
from pipelines.hand_foot_scoring.training.damage_heads import PLATE_WEIGHT, _batch_loss, joints, targets, train_damage
from pipelines.lab.checkpoint import Checkpoint
from pipelines.lab.training_log import Report


def test_heads_can_learn_what_they_are_shown() -> None:
    crops = simulated(1, 3, even=1, oddities=0.0, children=0.0, sites_each=4)
    network = train_damage(crops, "local_smoothing", 0, epochs=12, batch=12)
    rows = joints(crops)
    mine, nothing = by_family(scores(network, crops), rows), all_zero(rows)
    for head in MAXIMUM:
        assert mine[head]["all"].rmse < 0.7 * nothing[head]["all"].rmse
        assert mine[head]["all"].kappa > 0.3
    assert "foot" in mine["narrowing"]


def test_growth_plates_of_which_nothing_is_said_teach_nothing() -> None:
    crops = simulated(1, 2, even=1, children=0.5, sites_each=4)
    silent = replace(crops, plates=np.full_like(crops.plates, NONE))
    torch.manual_seed(0)
    network = Damage("local_smoothing")
    raw = network(torch.from_numpy(crops.floats(slice(None))), torch.from_numpy(crops.sites))
    losses, slopes = [], []
    rows = np.arange(len(crops))
    for taught in (crops, silent):
        loss = _batch_loss(raw, taught, targets(taught), rows, "local_smoothing", "cpu")
        losses.append(float(loss.detach()))
        slopes.append(torch.autograd.grad(loss, raw["plates"], retain_graph=True)[0])
    assert slopes[0].abs().min() > 0
    assert not slopes[1].any()
    said = torch.nn.functional.binary_cross_entropy_with_logits(
        raw["plates"][:, 0], torch.from_numpy(crops.plates)
    ).item()
    assert losses[0] - losses[1] == pytest.approx(PLATE_WEIGHT * said, rel=1e-3)


def test_a_broken_off_training_of_the_heads_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    crops = simulated(1, 2, even=1, sites_each=4)
    whole = train_damage(crops, "local_smoothing", 0, epochs=3, batch=16)
    kept = Checkpoint(tmp_path / "state", "three epochs")

    steps: list[int] = []
    each_epoch = len(crops) // 16

    def killed(step: int, _figures: object) -> None:
        if step == 2 * each_epoch + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_damage(crops, "local_smoothing", 0, 3, batch=16, checkpoint=kept, handlers=[Report(killed)])
    noted = Report(lambda step, _figures: steps.append(step))
    resumed = train_damage(crops, "local_smoothing", 0, 3, batch=16, checkpoint=kept, handlers=[noted])
    assert steps[0] == 2 * each_epoch + 1
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)
