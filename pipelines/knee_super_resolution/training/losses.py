"""What the networks are taught by: their error over that of the interpolation."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipelines.knee_super_resolution.metrics import FOREGROUND_LEVEL
from pipelines.knee_super_resolution.training.patches import Example
from pipelines.knee_super_resolution.training.sampler import geometry_of

SPREAD_WEIGHT = 0.05  # of the uncertainty's likelihood in the loss


def relative_error(thin: Tensor, truth: Tensor, interpolated: Tensor) -> Tensor:
    """RMSE over that of the interpolation, where there is something to see, with floors that quieten flat patches.

    Parameters
    ----------
    thin, truth, interpolated
        (N, F, H, W) each, scaled.
    """
    ours, theirs = _errors(thin, truth, interpolated)
    return torch.sqrt((ours + 1e-8) / (theirs + 1e-6))


def gain_db(thin: Tensor, truth: Tensor, interpolated: Tensor) -> float:
    """How much smaller the error is than that of the interpolation, dB.

    Parameters
    ----------
    thin, truth, interpolated
        (N, F, H, W) each, scaled.
    """
    ours, theirs = _errors(thin.detach(), truth, interpolated)
    return 10 * math.log10((float(theirs) + 1e-8) / (float(ours) + 1e-8))


def _errors(thin: Tensor, truth: Tensor, interpolated: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared errors of the result and of the interpolation, tissue counting twenty times as much as air."""
    mask = (truth > FOREGROUND_LEVEL) | (interpolated > FOREGROUND_LEVEL)
    weight = mask.float() + 0.05
    return (weight * (thin - truth) ** 2).mean(), (weight * (interpolated - truth) ** 2).mean()


def _learned_loss(network: nn.Module, example: Example) -> tuple[float, Tensor]:
    geometry = geometry_of(example)
    thin, spread = network(example.thick, geometry)
    spline = geometry.matrices()[0].to(example.thick.device)
    interpolated = torch.einsum("fc,nchw->nfhw", spline, example.thick)
    error = relative_error(thin, example.thin, interpolated)
    likelihood = ((thin.detach() - example.thin).abs() / spread + spread.log())[example.thin > FOREGROUND_LEVEL / 2]
    loss = error + SPREAD_WEIGHT * (likelihood.mean() if likelihood.numel() else spread.mean() * 0)
    return gain_db(thin, example.thin, interpolated), loss


def _deepresolve_loss(network: nn.Module, example: Example) -> tuple[float, Tensor]:
    spline = geometry_of(example).matrices()[0].to(example.thick.device)
    interpolated = torch.einsum("fc,nchw->nfhw", spline, example.thick)
    thin = network(interpolated[:, None])[:, 0]
    # not the squared error, as published, but its root over that of the interpolation: else the few patches with much
    # contrast are all that counts, and after as many steps five layers had gained a fifth as much
    return gain_db(thin, example.thin, interpolated), relative_error(thin, example.thin, interpolated)


LOSSES: dict[str, Callable[[nn.Module, Example], tuple[float, Tensor]]] = {
    "learned": _learned_loss,
    "deepresolve": _deepresolve_loss,
}
