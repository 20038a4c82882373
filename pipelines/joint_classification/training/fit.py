"""Fits one network to a cohort: the loop that training and evaluation share."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder, Output
from pipelines.joint_classification.training.cohort import Cohort
from pipelines.joint_classification.training.losses import csae_loss, foreign_loss, inverse_frequency
from pipelines.lab.checkpoint import Checkpoint, RunningAverage

ALPHA = 0.8  # weight of the classification; alpha = 1 is the ablation without the auto-encoder
SHIFT = 0.06  # largest shift, fraction of an axis
SCALE = 0.10  # largest change of size
TILT = 0.09  # radians, largest rotation in the plane (of the last two axes)
WARM_UP = 0.08  # share of the steps
DRAWN = 0.5  # share of a batch that is drawn again: the decoder costs as much as the encoder, and has the easier task
FOREIGN = 0.5  # foreign images in a batch, per labelled one
FOREIGN_WEIGHT = 0.5  # of their loss
AVERAGE = 0.99  # decay of the running average of the weights, which is what is kept
KEEP_EVERY = 50  # steps between two checkpoints

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    steps: int
    batch: int
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    alpha: float = ALPHA
    seed: int = 0
    # Share of the steps until the drawing has its full weight. An encoder that has to draw speckle from the first step
    # learns the classes late: macro AUROC of one fold after 400 steps 0.53, with a ramp of 0.6 0.88, with a = 1 0.94.
    # With as many pictures and steps as the shipped weights it makes no difference, and volumes learn later with it.
    ramp: float = 0.0

    def weight(self, step: int) -> float:
        """Weight of the classification at a step: 1 at first, down to `alpha` after the share `ramp` of the steps."""
        share = min(1.0, step / (self.ramp * self.steps)) if self.ramp else 1.0
        return 1 - (1 - self.alpha) * share

    def rate(self, step: int) -> float:
        """Learning rate of a step: a linear warm-up, then half a cosine down to nothing."""
        warm = max(1, round(WARM_UP * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))


def fit(
    network: nn.Module,
    cohort: Cohort,
    schedule: Schedule,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    log: Path | None = None,
) -> nn.Module:
    """Train a network on a cohort, in place, and return it in evaluation mode.

    Cases without a class teach the auto-encoder what is none of them.

    Adam with decoupled weight decay. Every step draws from its own seed: a run that continues from its checkpoint sees
    the batches, and drops the channels, that it would have seen without the interruption.

    Parameters
    ----------
    network
        The auto-encoder, or any classifier (then `schedule.alpha` is taken as 1).
    cohort
        What it learns from.
    schedule
        How long and how fast.
    progress
        Called with step and loss.
    checkpoint
        File for the state, from which an interrupted training continues; None: none.
    log
        A csv of step, learning rate, loss and seconds; None: none.
    """
    torch.manual_seed(schedule.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).train()
    network.to(memory_format=_layout(cohort.images.ndim))  # type: ignore[call-overload]
    labelled = np.flatnonzero(cohort.labels >= 0)
    weight = inverse_frequency(torch.from_numpy(cohort.labels[labelled])).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    average = RunningAverage(network, AVERAGE)
    kept = Checkpoint(checkpoint, str(schedule)) if checkpoint else None
    start = kept.resume(network=network, optimiser=optimiser, average=average) if kept else 0
    began = time.monotonic()
    for step in range(start, schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        loss = _step(network, cohort, labelled, weight, schedule, step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.follow(network, step)
        if log is not None:
            _note(log, step, schedule.rate(step), float(loss.detach()), time.monotonic() - began)
        if progress is not None:
            progress(step + 1, float(loss.detach()))
        if kept is not None and (step + 1) % KEEP_EVERY == 0:
            kept.save(step + 1, network=network, optimiser=optimiser, average=average)
    network.load_state_dict(average.state_dict())
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network.cpu().eval()


def _step(
    network: nn.Module,
    cohort: Cohort,
    labelled: NDArray[np.int64],
    weight: Tensor,
    schedule: Schedule,
    step: int,
) -> Tensor:
    """The loss of one step's batch."""
    device = weight.device
    rng = np.random.default_rng([schedule.seed, step])
    torch.manual_seed(schedule.seed * 1_000_003 + step)
    index = _batch(labelled, schedule.batch, schedule.seed, step)
    label = torch.from_numpy(cohort.labels[index]).to(device)
    unlike = np.flatnonzero(cohort.labels < 0)
    if len(unlike) and isinstance(network, ConvolutionalSupervisedAutoEncoder):
        index = np.concatenate([index, _batch(unlike, round(FOREIGN * schedule.batch), schedule.seed + 1, step)])
    batch = augment(torch.from_numpy(cohort.images[index]).float().to(device), rng)
    batch = batch.contiguous(memory_format=_layout(batch.ndim))
    # half precision for pictures only: on the CPU the weights' gradients of a small 3-D convolution come out of oneDNN
    # as garbage (1e35) now and then in bfloat16
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=batch.ndim == 4):
        if not isinstance(network, ConvolutionalSupervisedAutoEncoder):
            return functional.cross_entropy(network(batch).float(), label, weight=weight)
        drawn = max(1, round(DRAWN * schedule.batch)) if schedule.alpha < 1.0 else 0
        output, known = _first(network, batch, drawn), len(label)
        of_known = output._replace(logits=output.logits[:known])
        loss = csae_loss(of_known, batch[:drawn], label, weight, schedule.weight(step))
        return loss + FOREIGN_WEIGHT * foreign_loss(output.foreign, known) if len(batch) > known else loss


def _first(network: ConvolutionalSupervisedAutoEncoder, batch: Tensor, drawn: int) -> Output:
    """The network's output, with drawings of the first `drawn` images only; of none, without the decoder."""
    if drawn:
        return network.inspect(batch, drawn)[0]
    outputs = network.down(batch)
    latent = network.pool(outputs[-1])
    return Output(network.classify(latent), batch[:0], latent, network.is_foreign(outputs))


def _batch(among: NDArray[np.int64], size: int, seed: int, step: int) -> NDArray[np.int64]:
    """The cases of a step: every case once before any comes again."""
    chosen = []
    for number in range(step * size, (step + 1) * size):
        turn, place = divmod(number, len(among))
        chosen.append(_order(len(among), seed, turn)[place])
    return np.asarray(among[np.array(chosen)])


_ORDERS: dict[tuple[int, int, int], NDArray[np.int64]] = {}


def _order(number: int, seed: int, turn: int) -> NDArray[np.int64]:
    key = (number, seed, turn)
    if key not in _ORDERS:
        if len(_ORDERS) > 4:
            _ORDERS.clear()
        _ORDERS[key] = np.random.default_rng([seed, turn, 77]).permutation(number)
    return _ORDERS[key]


def _layout(dimensions: int) -> torch.memory_format:
    return torch.channels_last if dimensions == 4 else torch.channels_last_3d


def _note(log: Path, step: int, rate: float, loss: float, seconds: float) -> None:
    new = not log.exists()
    with log.open("a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        if new:
            rows.writerow(["step", "learning_rate", "loss", "seconds"])
        rows.writerow([step + 1, f"{rate:.3g}", f"{loss:.5f}", f"{seconds:.1f}"])


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted, resized, tilted and regained copies, noisier and softer ones among them: (N, C, ...) -> the same.

    2-D pictures are never mirrored, since head and base differ; volumes are, across the bone both ways, since a scan
    does not say where dorsal and radial are.
    """
    number, spatial = images.shape[0], images.ndim - 2
    theta = np.zeros((number, spatial, spatial + 1), np.float32)
    angle = rng.uniform(-TILT, TILT, number)
    scale = 1 + rng.uniform(-SCALE, SCALE, (number, spatial))
    aspect = images.shape[-2] / images.shape[-1]  # affine_grid's coordinates run -1..1 along both axes
    for axis in range(spatial):
        theta[:, axis, axis] = scale[:, axis]
        theta[:, axis, spatial] = rng.uniform(-2 * SHIFT, 2 * SHIFT, number)
    theta[:, 0, 0] *= np.cos(angle)
    theta[:, 1, 1] *= np.cos(angle)
    theta[:, 0, 1] = -np.sin(angle) * scale[:, 0] * aspect
    theta[:, 1, 0] = np.sin(angle) * scale[:, 1] / aspect
    if spatial == 3:
        for axis in (0, 1):  # of affine_grid: W, H
            theta[:, axis, :2] *= rng.choice((-1.0, 1.0), number).astype(np.float32)[:, None]
    grid = functional.affine_grid(torch.from_numpy(theta).to(images.device), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    shape = (number,) + (1,) * (images.ndim - 1)
    gain = torch.from_numpy(rng.normal(1.0, 0.08, number)).float().reshape(shape).to(images.device)
    offset = torch.from_numpy(rng.normal(0.0, 0.08, number)).float().reshape(shape).to(images.device)
    return moved * gain + offset
