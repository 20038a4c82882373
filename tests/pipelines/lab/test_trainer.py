"""The trainer: what a loop gives it, that it learns, and that an interrupted training ends as an uninterrupted one."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from pipelines.lab.checkpoint import Checkpoint, OtherTraining
from pipelines.lab.schedules import warm_up_then_cosine
from pipelines.lab.trainer import Batches, StepBatches, StepTrainer, StreamBatches
from pipelines.lab.training_log import Report

STEPS, KEPT, BROKEN = 11, 4, 6


class Stopped(Exception):
    """In place of a power cut."""


def batch(step: int) -> tuple[Tensor, Tensor]:
    """Numbers and what is to be made of them."""
    x = torch.from_numpy(np.random.default_rng([5, step]).normal(size=(8, 3)).astype(np.float32))
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5]])


class Numbers(IterableDataset[tuple[Tensor, Tensor]]):
    """Samples without end."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        number = self.first
        while True:
            x, y = batch(number)
            yield x[0], y[0]
            number += 1


def of_patches(network: nn.Module) -> Any:
    """Gradients that threads work out, a part of the batch each."""
    parameters = list(network.parameters())

    def of_patch(both: tuple[Tensor, Tensor]) -> tuple[float, tuple[Tensor, ...]]:
        loss = nn.functional.mse_loss(network(both[0]), both[1])
        return float(loss.detach()), torch.autograd.grad(loss, parameters)

    def gradients(given: tuple[Tensor, Tensor], _step: int) -> Mapping[str, float]:
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(of_patch, zip(*(torch.chunk(part, 2) for part in given), strict=True)))
        for number, parameter in enumerate(parameters):
            parameter.grad = torch.stack([each[number] for _, each in found]).mean(0)
        return {"loss": float(np.mean([loss for loss, _ in found])), "patches": len(found)}

    return gradients


LOOPS = ("loss of prediction and target", "loss of a batch", "gradients of its own", "worker")


def trainer(loop: str, folder: Path | None, stop: int | None = None, seed: int = 3, data: str = "") -> StepTrainer:
    """A small training with everything in it: drop-out, momentum, schedule, average, checkpoint."""
    torch.manual_seed(1)
    # threads would draw what is dropped, and count the batches, in an order of their own
    inner = (nn.LayerNorm(8),) if loop == "gradients of its own" else (nn.BatchNorm1d(8), nn.Dropout(0.3))
    network = nn.Sequential(nn.Linear(3, 8), *inner, nn.Linear(8, 1))
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.03)
    how: dict[str, Any] = {
        LOOPS[0]: {"loss_function": nn.MSELoss(), "inferer": SimpleInferer(), "autocast": torch.bfloat16},
        LOOPS[1]: {"step_loss": lambda given, step: nn.functional.mse_loss(network(given[0]), given[1]) * (1 + step)},
        LOOPS[2]: {"gradients": of_patches(network)},
        LOOPS[3]: {"loss_function": nn.MSELoss()},
    }[loop]
    batches: Batches = StreamBatches(Numbers, 8) if loop == "worker" else StepBatches(batch)

    def watch(step: int, _figures: Mapping[str, float]) -> None:
        if step == stop:
            raise Stopped

    return StepTrainer(
        device="cpu",
        max_epochs=1,
        epoch_length=STEPS,
        train_data_loader=batches,
        network=network,
        optimizer=optimiser,
        lr_scheduler=warm_up_then_cosine(optimiser, STEPS, 3),
        averaging=0.9,
        clip_norm=1.0,
        seed=seed,
        checkpoint=None if folder is None else Checkpoint(folder / "state", f"seed {seed}", data),
        keep_every=KEPT,
        train_handlers=[Report(watch)],
        **how,
    )


@pytest.mark.parametrize("loop", LOOPS)
def test_an_interrupted_training_ends_bit_for_bit_as_an_uninterrupted_one(loop: str, tmp_path: Path) -> None:
    whole = trainer(loop, None)
    whole.run()
    with pytest.raises(Stopped):
        trainer(loop, tmp_path, BROKEN).run()
    resumed = trainer(loop, tmp_path)
    resumed.run()
    assert resumed.done == whole.done == STEPS
    for name, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name
    assert not resumed.network.training


def test_another_seed_gives_other_weights() -> None:
    one, other = trainer(LOOPS[0], None), trainer(LOOPS[0], None, seed=4)
    one.run()
    other.run()
    assert not torch.equal(one.network[0].weight, other.network[0].weight)


def test_it_learns_and_says_how_far_it_is() -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    said: dict[int, Mapping[str, float]] = {}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.2)
    StepTrainer(
        device="cpu",
        max_epochs=2,
        epoch_length=30,
        train_data_loader=StepBatches(batch),
        network=network,
        optimizer=optimiser,
        loss_function=nn.MSELoss(),
        train_handlers=[Report(said.__setitem__, every=20)],
    ).run()
    assert list(said) == [20, 40, 60]
    assert said[60]["loss"] < 1e-6
    assert said[60]["learning_rate"] == 0.2
    torch.testing.assert_close(network.weight, torch.tensor([[1.0, -2.0, 0.5]]), atol=1e-3, rtol=0)


def test_a_training_that_was_ended_already_takes_no_step_more(tmp_path: Path) -> None:
    first = trainer(LOOPS[1], tmp_path)
    first.run()
    again = trainer(LOOPS[1], tmp_path, stop=STEPS)  # would stop in the last step, if that were taken
    again.run()
    assert torch.equal(again.network[0].weight, first.network[0].weight)


def test_a_checkpoint_of_other_settings_or_other_data_is_refused(tmp_path: Path) -> None:
    trainer(LOOPS[0], tmp_path, data="12").run()
    with pytest.raises(OtherTraining, match="other settings"):
        trainer(LOOPS[0], tmp_path, seed=4, data="12").run()
    with pytest.raises(OtherTraining, match="on other data"):
        trainer(LOOPS[0], tmp_path, data="13").run()


def test_a_loop_says_in_one_way_what_its_loss_is() -> None:
    network = nn.Linear(1, 1)
    with pytest.raises(ValueError, match="one of loss_function, step_loss and gradients"):
        StepTrainer(
            device="cpu",
            max_epochs=1,
            epoch_length=1,
            train_data_loader=StepBatches(batch),
            network=network,
            optimizer=torch.optim.SGD(network.parameters()),
        )
