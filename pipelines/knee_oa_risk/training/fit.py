"""The fit of one network: the deep part by steps, then its linear part at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.knee_oa_risk.matrix import Batch
from pipelines.knee_oa_risk.model import cells
from pipelines.knee_oa_risk.network import CAUSES, RiskNetwork, negative_log_likelihood
from pipelines.knee_oa_risk.training.cohort import Cohort
from pipelines.knee_oa_risk.window import YEARS
from pipelines.lab.checkpoint import Checkpoint
from pipelines.lab.trainer import StepBatches, StepTrainer
from pipelines.lab.training_log import CsvLog, Progress, TensorBoardLog

EPOCHS = 8
BATCH = 512
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3
RIDGE = 4.0  # inverse variance of a coefficient of the linear part, before any data
LINEAR_SHARE = 0.5  # of the linear part in the average with the deep one


def follow_up(population: Cohort) -> tuple[Tensor, Tensor]:
    """Exposure (N, YEARS) and events (N, YEARS, CAUSES) of each person, up to `YEARS`."""
    time_ = torch.from_numpy(population.time)[:, None]
    years = torch.arange(YEARS)[None, :]
    exposure = (time_ - years).clamp(0.0, 1.0).float()
    status = torch.from_numpy(population.status)
    event = torch.zeros(len(population), YEARS, CAUSES)
    inside = (status > 0) & (time_[:, 0] < YEARS)
    who = torch.nonzero(inside)[:, 0]
    event[who, time_[who, 0].long(), status[who] - 1] = 1.0
    return exposure, event


def fit(
    batch: Batch,
    population: Cohort,
    seed: int,
    epochs: int = EPOCHS,
    record: bool = True,
    static: bool = True,
    folder: Path | None = None,
    data_digest: str = "",
) -> RiskNetwork:
    """One network trained on all of `batch`; the one-cycle schedule ends the training, no data is held back for it.

    Parameters
    ----------
    batch, population
        The people's matrices, and what became of them.
    seed
        Of first weights and order.
    epochs
        Passes over all people.
    record, static
        Whether the network has that branch; without one it is the ablation.
    folder
        For the checkpoint, from which an interrupted training goes on, and the log; None: neither is written.
    data_digest
        Of what the people were read from.

    Raises
    ------
    OtherTraining
        If the folder holds the checkpoint of a training with other settings or on other data.
    """
    torch.manual_seed(seed)
    network = RiskNetwork(batch.rows, batch.static.shape[1], record, static)
    silence_unseen(network, batch)
    exposure, event = follow_up(population)
    values = torch.from_numpy(batch.static)
    size = min(BATCH, max(len(batch) // 8, 8))  # few people make small batches
    deep = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(deep, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def gradients(persons: NDArray[np.int64], _step: int) -> dict[str, float]:
        chosen = torch.from_numpy(persons)
        with _deterministic():
            log_hazards = network(cells(batch, persons), values[chosen])
            loss = negative_log_likelihood(log_hazards, exposure[chosen], event[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
        return {"loss": loss.item()}

    if length := len(batch) // size:
        name = f"risk seed {seed}, {epochs} epochs of {length} steps, {record=}, {static=}, data {data_digest}"
        handlers: list[Any] = [Progress(f"network with seed {seed}")]
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            handlers += [
                CsvLog(folder / f"log-{seed}.csv", every=10),
                TensorBoardLog(folder / "tensorboard" / str(seed)),
            ]
        StepTrainer(
            device="cpu",
            max_epochs=epochs,
            epoch_length=length,
            train_data_loader=StepBatches(_Epochs(len(batch), size, seed)),
            network=network,
            optimizer=optimiser,
            gradients=gradients,
            lr_scheduler=torch.optim.lr_scheduler.OneCycleLR(
                optimiser, LEARNING_RATE, total_steps=epochs * length, pct_start=0.2
            ),
            clip_norm=1.0,
            seed=seed,
            checkpoint=None if folder is None else Checkpoint(folder / f"checkpoint-{seed}.pt", name),
            train_handlers=handlers,
        ).run()
    network.eval()
    fit_linear(network, batch, exposure, event)
    return network


class _Epochs:
    """The people of each step, in ascending order; every epoch shuffles them anew."""

    def __init__(self, people: int, size: int, seed: int) -> None:
        self.people, self.size, self.rng = people, size, np.random.default_rng(seed)
        self.orders: list[NDArray[np.int64]] = []

    def __call__(self, step: int) -> NDArray[np.int64]:
        epoch, place = divmod(step, self.people // self.size)
        while len(self.orders) <= epoch:  # also of epochs that a checkpoint skips: each draws after the one before
            self.orders.append(self.rng.permutation(self.people))
        return np.sort(self.orders[epoch][place * self.size : (place + 1) * self.size])


@contextmanager
def _deterministic() -> Iterator[None]:
    """Several threads add the gradients of one weight up in an order that changes, unless torch is told not to."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def fit_linear(network: RiskNetwork, batch: Batch, exposure: Tensor, event: Tensor) -> None:
    """Fit the linear part on everybody at once, with a ridge, and give it its share.

    Parameters
    ----------
    network
        Its linear part is changed in place.
    batch
        (N) people.
    exposure, event
        (N, YEARS) and (N, YEARS, CAUSES): as `follow_up` gives them.
    """
    chunks = np.array_split(np.arange(len(batch)), len(batch) // 4096 + 1)
    with torch.no_grad():
        parts = [network.plain(cells(batch, some), torch.from_numpy(batch.static[some])) for some in chunks]
    plain = torch.cat(parts)  # (N, F)
    fitted = [network.wide, network.baseline]
    with torch.no_grad():
        rate = event.sum(dim=0) / exposure.sum(dim=0)[:, None]  # (YEARS, CAUSES): where the fit begins
        network.baseline.copy_(rate.clamp_min(1e-6).log())
    for parameter in fitted:
        parameter.requires_grad_(True)
    optimiser = torch.optim.LBFGS(fitted, max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        ridge = RIDGE / (2 * len(batch)) * network.wide.square().sum()
        value = negative_log_likelihood(network.linear(plain), exposure, event) + ridge
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    for parameter in fitted:
        parameter.requires_grad_(False)
    network.share.fill_(LINEAR_SHARE)


def silence_unseen(network: RiskNetwork, batch: Batch) -> None:
    """Codes that never occur in the training data get no weight, rather than the chance one they began with."""
    if network.record is not None:
        unseen = torch.ones(batch.rows, dtype=torch.bool)
        unseen[torch.from_numpy(np.unique(batch.row))] = False
        with torch.no_grad():
            network.record.stem.weight[:, unseen] = 0.0
            network.record.presence.weight[:, unseen] = 0.0
