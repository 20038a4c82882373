"""Fitting one CSAE to a cohort: the loop that `train` and `evaluate` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.joint_classification.data import Cohort
from pipelines.joint_classification.network import (
    CHANNELS,
    ConvolutionalSupervisedAutoEncoder,
    csae_loss,
    inverse_frequency,
)

ALPHA = 0.8  # weight of the classification; see the sweep in the model card
SHIFT = 0.06  # largest shift, fraction of an axis
SCALE = 0.12  # largest change of size


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    steps: int
    batch: int
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    alpha: float = ALPHA
    seed: int = 0


def fit(
    cohort: Cohort,
    schedule: Schedule,
    channels: tuple[int, ...] = CHANNELS,
    progress: Callable[[int, float], None] | None = None,
) -> ConvolutionalSupervisedAutoEncoder:
    """A network trained on the labelled cases of `cohort`.

    Adam with decoupled weight decay and one cosine cycle; small shifts, changes of size, gain and mirror images (2-D:
    along the finger never, since head and base differ; 3-D: dorsal to palmar).
    """
    torch.manual_seed(schedule.seed)
    rng = np.random.default_rng(schedule.seed)
    spatial = cohort.images.ndim - 2
    network = ConvolutionalSupervisedAutoEncoder(2 if spatial == 2 else 3, channels=channels)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).train()
    labelled = np.flatnonzero(cohort.labels >= 0)
    images = torch.from_numpy(cohort.images)
    labels = torch.from_numpy(cohort.labels)
    weight = inverse_frequency(labels[labelled]).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    schedule_lr = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, schedule.learning_rate, total_steps=schedule.steps, pct_start=0.1
    )
    order = np.empty(0, np.int64)
    for step in range(schedule.steps):
        if len(order) < schedule.batch:
            order = np.concatenate([order, rng.permutation(labelled)])
        index, order = torch.from_numpy(order[: schedule.batch]), order[schedule.batch :]
        batch = augment(images[index].to(device), rng)
        loss = csae_loss(network(batch), batch, labels[index].to(device), weight, schedule.alpha)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule_lr.step()
        if progress is not None:
            progress(step + 1, float(loss.detach()))
    return network.cpu().eval()


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted, resized and regained copies: (N, 1, ...) -> the same shape."""
    number, spatial = images.shape[0], images.ndim - 2
    theta = torch.zeros(number, spatial, spatial + 1)
    for axis in range(spatial):
        theta[:, axis, axis] = torch.from_numpy(1 + rng.uniform(-SCALE, SCALE, number)).float()
        theta[:, axis, spatial] = torch.from_numpy(rng.uniform(-2 * SHIFT, 2 * SHIFT, number)).float()
    if spatial == 3:
        theta[:, 1, 1] *= torch.from_numpy(rng.choice((-1.0, 1.0), number)).float()
    grid = torch.nn.functional.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    shape = (number,) + (1,) * (images.ndim - 1)
    gain = torch.from_numpy(rng.normal(1.0, 0.08, number)).float().reshape(shape).to(images.device)
    offset = torch.from_numpy(rng.normal(0.0, 0.08, number)).float().reshape(shape).to(images.device)
    return moved * gain + offset


@torch.no_grad()
def predict(
    network: ConvolutionalSupervisedAutoEncoder, images: NDArray[np.float32], batch: int = 32
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What the network says of (N, 1, ...) images.

    Returns
    -------
    tuple
        logits (N, classes); latent (N, L); reconstruction error (N,), mean square; and the features of the gate (N, F):
        mean and standard deviation of every channel of every encoder stage.
    """
    device = next(network.parameters()).device
    features: list[Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: object, out: Tensor) -> None:
        features.append(stage_statistics(out))

    hooks = [stage.register_forward_hook(keep) for stage in network.encoder]
    rows: list[list[NDArray[np.float64]]] = [[], [], [], []]
    try:
        for start in range(0, len(images), batch):
            features.clear()
            x = torch.from_numpy(images[start : start + batch]).to(device)
            output = network(x)
            error = (output.reconstruction - x).square().flatten(1).mean(1)
            for row, value in zip(rows, (output.logits, output.latent, error, torch.cat(features, 1)), strict=True):
                row.append(value.double().cpu().numpy())
    finally:
        for hook in hooks:
            hook.remove()
    logits, latent, errors, statistics = (np.concatenate(row) for row in rows)
    return logits, latent, errors, statistics


def stage_statistics(feature: Tensor) -> Tensor:
    """(N, C, ...) -> (N, 2C): mean and standard deviation of each channel."""
    flat = feature.flatten(2)
    return torch.cat([flat.mean(2), flat.std(2)], dim=1)
