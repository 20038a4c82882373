"""The fit of a network: seeded, resumable, with averaged weights; each object as the bundle's `train.json` names it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pipelines.knee_super_resolution.deepresolve import DeepResolve
from pipelines.knee_super_resolution.network import ThinSliceNet
from pipelines.knee_super_resolution.training.corpus import Corpus, digest_of
from pipelines.knee_super_resolution.training.losses import LOSSES
from pipelines.knee_super_resolution.training.patches import Example
from pipelines.knee_super_resolution.training.plan import Plan
from pipelines.knee_super_resolution.training.sampler import Sampler
from pipelines.lab.checkpoint import Checkpoint
from pipelines.lab.schedules import warm_up_then_cosine
from pipelines.lab.trainer import LOSS, StepBatches, StepTrainer

CHECKPOINT_EVERY = 250
AVERAGING = 0.999  # of the weights, per step
WARM_UP = 100  # steps
LEAST = 0.01  # of the peak learning rate, at the end


def build(plan: Plan) -> nn.Module:
    """The untrained network of a plan."""
    torch.manual_seed(plan.seed)
    if plan.method == "deepresolve":
        return DeepResolve()
    return ThinSliceNet(channels=plan.channels, blocks=plan.blocks)


def started(network: nn.Module, plan: Plan, initial: Path | str | None = None) -> nn.Module:
    """A network on its device, with the weights to begin with.

    Parameters
    ----------
    network
        Untrained.
    plan
        Of the run.
    initial
        File of weights; None: as they are.
    """
    torch.set_num_threads(1 if plan.device == "cpu" else plan.threads)
    if initial is not None:
        network.load_state_dict({name: value.float() for name, value in load_file(initial).items()})
    return network.to(plan.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload, no-any-return]


def schedule(optimizer: Optimizer, plan: Plan) -> LRScheduler:
    """Learning rate: 100 steps of warm-up, or half of a shorter run, then a cosine to 1 % of the peak."""
    return warm_up_then_cosine(optimizer, plan.steps, min(WARM_UP, max(1, plan.steps // 2)), LEAST * plan.rate)


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

    def __call__(self, patches: range, step: int) -> Mapping[str, float]:
        """Put the mean gradient of the patches with these numbers into the parameters; mean loss, and gain over cubic.

        Parameters
        ----------
        patches
            Their numbers.
        step
            Of the training; each patch seeds itself.
        """
        parts = list(self.pool.map(self._of_patch, patches))
        for index, parameter in enumerate(self.parameters):
            parameter.grad = torch.stack([gradients[index] for *_, gradients in parts]).mean(dim=0)
        return {
            LOSS: float(np.mean([part[0] for part in parts])),
            "gain_db": float(np.mean([part[1] for part in parts])),
        }

    def _of_patch(self, number: int) -> tuple[float, float, list[Tensor]]:
        example = _to(self.samplers[number % self.plan.batch].example(number), self.plan.device)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            gain, loss = LOSSES[self.plan.method](self.network, example)
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        filled = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, self.parameters, strict=True)]
        return float(loss.detach()), gain, filled


def patch_numbers(plan: Plan) -> StepBatches:
    """The numbers of each step's patches."""
    return StepBatches(lambda step: range(step * plan.batch, (step + 1) * plan.batch))


def checkpoint_of(plan: Plan, corpus: Corpus, output: Path) -> Checkpoint:
    """Where a run keeps its state, with the digest of what it learns from."""
    output.mkdir(parents=True, exist_ok=True)
    return Checkpoint(output / "checkpoint.pt", f"{plan}, {corpus.sentence()}", digest_of(corpus))


def trainer(
    plan: Plan,
    corpus: Corpus,
    network: nn.Module,
    optimizer: Optimizer,
    lr_scheduler: LRScheduler,
    output: Path | str,
    handlers: list[Any] | None = None,
    stop: int | None = None,
) -> StepTrainer:
    """The trainer of a run, which begins where the state in `output` ends.

    Parameters
    ----------
    plan, corpus
        How, and on what.
    network, optimizer, lr_scheduler
        Of one another.
    output
        Folder for the state.
    handlers
        Of the trainer, such as those of `pipelines.lab.training_log`.
    stop
        End after this step of the schedule, before the learning rate has come down.
    """
    return StepTrainer(
        device=plan.device,
        max_epochs=1,
        epoch_length=min(plan.steps, stop or plan.steps),
        train_data_loader=patch_numbers(plan),
        network=network,
        optimizer=optimizer,
        gradients=Gradients(network, corpus, plan),
        lr_scheduler=lr_scheduler,
        averaging=AVERAGING,
        clip_norm=1.0,
        seed=plan.seed,
        checkpoint=checkpoint_of(plan, corpus, Path(output)),
        keep_every=CHECKPOINT_EVERY,
        train_handlers=handlers,
    )


def _to(example: Example, device: str) -> Example:
    return Example(
        example.thick.to(device),
        example.thin.to(device),
        example.ratio,
        example.anisotropy,
        example.profile,
        example.noise,
    )
