"""Everything that a network says of images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder


class NetworkAnswers(NamedTuple):
    """What a network gives for N images."""

    logits: NDArray[np.float64]  # (N, classes)
    latent: NDArray[np.float64]  # (N, L)
    error: NDArray[np.float64]  # (N,): mean square error of the drawing
    foreign: NDArray[np.float64]  # (N,): logit of "none of these"
    statistics: NDArray[np.float64]  # (N, F): what the gate looks at, of every encoder stage and of the drawing


@torch.inference_mode()
def ask(network: ConvolutionalSupervisedAutoEncoder, images: NDArray[np.float32], batch: int = 16) -> NetworkAnswers:
    """Run a network on images and collect everything that it gives.

    Parameters
    ----------
    network
        In evaluation mode.
    images
        (N, C, ...), prepared.
    batch
        Images in a batch.
    """
    device = next(network.parameters()).device
    rows: list[list[NDArray[np.float64]]] = [[], [], [], [], []]
    for start in range(0, len(images), batch):
        x = torch.from_numpy(images[start : start + batch]).float().to(device)
        output, stages = network.inspect(x)
        statistics = torch.cat([*map(stage_statistics, stages), drawing_statistics(output.reconstruction, x)], 1)
        error = (output.reconstruction - x).square().flatten(1).mean(1)
        values = (output.logits, output.latent, error, output.foreign, statistics)
        for row, value in zip(rows, values, strict=True):
            row.append(value.double().cpu().numpy())
    return NetworkAnswers(*(np.concatenate(row) for row in rows))


def drawing_statistics(drawn: Tensor, x: Tensor) -> Tensor:
    """Logarithms (N, 3) of the error of drawings (N, C, ...): over the image, at its worst place, in its worst row."""
    error = (drawn - x).square().mean(1, keepdim=True)
    spatial = error.ndim - 2
    pool = functional.avg_pool2d if spatial == 2 else functional.avg_pool3d
    local = pool(error, 8, stride=4)
    rows = error.flatten(3).mean(3).amax(2)
    return torch.cat([error.flatten(1).mean(1, keepdim=True), local.flatten(1).amax(1, keepdim=True), rows], 1).log()


def stage_statistics(feature: Tensor) -> Tensor:
    """Mean and standard deviation (N, 2C) of each channel of (N, C, ...)."""
    flat = feature.flatten(2)
    return torch.cat([flat.mean(2), flat.std(2)], dim=1)
