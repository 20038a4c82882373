from pathlib import Path

import pytest
import torch
from torch import nn

from pipelines.lab.checkpoint import Checkpoint, OtherTraining, RunningAverage


def test_every_part_of_a_training_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "state", "seed 0")
    network = nn.Linear(2, 1)
    average = RunningAverage(network, 0.5)
    assert kept.resume(network=network, average=average) == 0
    kept.save(4, network=network, average=average)
    other = nn.Linear(2, 1)
    others = RunningAverage(other, 0.5)
    assert kept.resume(network=other, average=others) == 4
    assert torch.equal(other.weight, network.weight)
    assert torch.equal(others.state_dict()["weight"], average.state_dict()["weight"])
    kept.remove()
    assert kept.resume(network=other) == 0


def test_the_state_of_another_training_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "state", "seed 0").save(4, network=nn.Linear(2, 1))
    with pytest.raises(OtherTraining, match="other settings"):
        Checkpoint(tmp_path / "state", "seed 1").resume(network=nn.Linear(2, 1))
    assert Checkpoint(tmp_path / "state", "seed 0").resume(network=nn.Linear(2, 1)) == 4


def test_an_average_forgets_the_first_steps_and_then_follows_slowly() -> None:
    network = nn.BatchNorm1d(1)
    average = RunningAverage(network, 0.9)
    with torch.no_grad():
        network.weight.fill_(2.0)
        assert network.num_batches_tracked is not None
        network.num_batches_tracked.fill_(5)
    average.follow(network, 0)
    assert average.state_dict()["weight"].item() == pytest.approx(0.1 * 1.0 + 0.9 * 2.0)
    assert average.state_dict()["num_batches_tracked"].item() == 5
    average.follow(network, 10_000)
    assert average.state_dict()["weight"].item() == pytest.approx(0.9 * 1.9 + 0.1 * 2.0)
