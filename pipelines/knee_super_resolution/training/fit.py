"""The fit of a network: seeded, resumable, with averaged weights."""

from __future__ import annotations

import csv
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.knee_super_resolution.deepresolve import DeepResolve
from pipelines.knee_super_resolution.network import ThinSliceNet
from pipelines.knee_super_resolution.training.corpus import Corpus
from pipelines.knee_super_resolution.training.losses import LOSSES
from pipelines.knee_super_resolution.training.patches import Example
from pipelines.knee_super_resolution.training.plan import Plan
from pipelines.knee_super_resolution.training.sampler import Sampler
from pipelines.lab.checkpoint import Checkpoint, RunningAverage

CHECKPOINT_EVERY = 250
AVERAGING = 0.999  # of the weights, per step


def build(plan: Plan) -> nn.Module:
    """The untrained network of a plan."""
    torch.manual_seed(plan.seed)
    if plan.method == "deepresolve":
        return DeepResolve()
    return ThinSliceNet(channels=plan.channels, blocks=plan.blocks)


def rate_at(step: int, plan: Plan) -> float:
    """Learning rate: 100 steps of warm-up, then a cosine to 1 % of the peak."""
    warm = min(1.0, (step + 1) / 100)
    return plan.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / plan.steps)))


class Gradients:
    """Loss gradients of the patches of a step, worked out side by side.

    Parameters
    ----------
    network
        In training.
    corpus
        Volumes that the patches are drawn from.
    plan
        Of the run: patches of a step, threads, device and seed.
    """

    def __init__(self, network: nn.Module, corpus: Corpus, plan: Plan) -> None:
        self.network, self.plan = network, plan
        self.parameters = [each for each in network.parameters() if each.requires_grad]
        self.samplers = [Sampler(corpus, plan) for _ in range(plan.batch)]
        self.pool = ThreadPoolExecutor(plan.threads)
        self.device = torch.device(plan.device).type

    def of(self, step: int) -> float:
        """Put the mean gradient of the step into the parameters and return the mean gain over cubic, dB."""
        parts = list(self.pool.map(self._of_patch, range(step * self.plan.batch, (step + 1) * self.plan.batch)))
        for index, parameter in enumerate(self.parameters):
            parameter.grad = torch.stack([gradients[index] for _, gradients in parts]).mean(dim=0)
        return float(np.mean([gain for gain, _ in parts]))

    def _of_patch(self, number: int) -> tuple[float, list[Tensor]]:
        example = _to(self.samplers[number % self.plan.batch].example(number), self.plan.device)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            gain, loss = LOSSES[self.plan.method](self.network, example)
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        filled = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, self.parameters, strict=True)]
        return gain, filled


def checkpoint_of(plan: Plan, corpus: Corpus, output: Path) -> Checkpoint:
    """Where a run keeps its state."""
    return Checkpoint(output / "checkpoint.pt", f"{plan}, {corpus.sentence()}")


def fit(
    plan: Plan, corpus: Corpus, output: Path, console: Console, initial: Path | None = None, stop: int | None = None
) -> nn.Module:
    """Train and return the averaged weights; checkpoints and the log go to `output`.

    Parameters
    ----------
    initial
        Weights to start from.
    stop
        End after this step of the schedule, before the learning rate has come down.

    Raises
    ------
    OtherTraining
        If `output` holds the state of a run of another plan, or on other data.
    """
    torch.set_num_threads(1 if plan.device == "cpu" else plan.threads)
    network: nn.Module = build(plan).to(plan.device)
    network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if initial is not None:
        network.load_state_dict({name: value.float() for name, value in load_file(initial).items()})
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=1e-4, betas=(0.9, 0.99))
    average = RunningAverage(network, AVERAGING)
    output.mkdir(parents=True, exist_ok=True)
    checkpoint = checkpoint_of(plan, corpus, output)
    start = checkpoint.resume(network=network, optimiser=optimiser, average=average)
    gradients = Gradients(network, corpus, plan)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        (output / "log.csv").open("a", newline="") as log,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        rows = csv.writer(log)
        task = progress.add_task("training", total=plan.steps, completed=start)
        began, gains = time.monotonic(), []
        for step in range(start, min(plan.steps, stop or plan.steps)):
            for group in optimiser.param_groups:
                group["lr"] = rate_at(step, plan)
            gains.append(gradients.of(step))
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            average.follow(network, step)
            progress.update(task, advance=1)
            if (step + 1) % 50 == 0:
                mean_db = float(np.mean(gains))
                rows.writerow([step + 1, round(time.monotonic() - began, 1), round(mean_db, 3), rate_at(step, plan)])
                log.flush()
                progress.update(task, description=f"training, {mean_db:+.2f} dB over cubic")
                gains.clear()
            if (step + 1) % CHECKPOINT_EVERY == 0:
                checkpoint.save(step + 1, network=network, optimiser=optimiser, average=average)
    network.load_state_dict(average.state_dict())
    return network


def _to(example: Example, device: str) -> Example:
    return Example(
        example.thick.to(device),
        example.thin.to(device),
        example.ratio,
        example.anisotropy,
        example.profile,
        example.noise,
    )
