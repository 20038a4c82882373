"""The fit of one network: the deep part by steps, then its linear part at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from pipelines.knee_oa_risk.matrix import Batch
from pipelines.knee_oa_risk.model import cells
from pipelines.knee_oa_risk.network import CAUSES, RiskNetwork, negative_log_likelihood
from pipelines.knee_oa_risk.training.cohort import Cohort
from pipelines.knee_oa_risk.window import YEARS

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
    say: bool = False,
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
    say
        Whether to write the progress to the standard error stream.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = RiskNetwork(batch.rows, batch.static.shape[1], record, static)
    silence_unseen(network, batch)
    exposure, event = follow_up(population)
    values = torch.from_numpy(batch.static)
    size = min(BATCH, max(len(batch) // 8, 8))  # few people make small batches
    steps = epochs * (len(batch) // size)
    deep = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(deep, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=max(steps, 1), pct_start=0.2)
    network.train()
    for epoch in range(epochs):
        order = rng.permutation(len(batch))
        total, began = 0.0, time.monotonic()
        for first in range(0, len(batch) - size + 1, size):
            persons = np.sort(order[first : first + size])
            chosen = torch.from_numpy(persons)
            with _deterministic():
                log_hazards = network(cells(batch, persons), values[chosen])
                loss = negative_log_likelihood(log_hazards, exposure[chosen], event[chosen])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(deep, 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        if say:
            mean = total / max(len(batch) // size, 1)
            sys.stderr.write(f"seed {seed} epoch {epoch + 1}: {mean:.4f} ({time.monotonic() - began:.0f} s)\n")
    network.eval()
    fit_linear(network, batch, exposure, event)
    return network


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
