"""Where the network looked: guided back-propagation, two kinds of Grad-CAM and occlusion, and whether to believe them.

Every map is about one class against the others: the score is the log-odds of the class, so that what speaks for all
classes alike drops out. A map is model attention, not a lesion.

`monai.visualize` has three of them, but not these. Its Grad-CAM++ adds 1e-7 to a denominator that is mostly smaller
here: on simulated joints its maps differ from the method's by up to 0.9 of their range, and take three to nine times
as long. Its occlusion fills a patch with one value or noise. Its guided back-propagation is the same (a test says so),
without a copy that threads can use side by side.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder

Array = NDArray[np.float32]
Method = Callable[[ConvolutionalSupervisedAutoEncoder, Tensor, int], Array]

STAGE = 2  # of the encoder: a quarter of the resolution; later ones are too coarse for a joint, earlier ones too local
PATCH = {2: 16, 3: 12}  # side of what is covered, pixels
STRIDE = {2: 12, 3: 8}
EMPTY = 0.2  # of what covering the fullest patch changes: patches with less are left out
SMOOTH = 2.0  # pixels, of guided gradients, which are single pixels otherwise


def odds(logits: Tensor, condition: int) -> Tensor:
    """Log-odds (N,) of one class, from logits (N, C)."""
    others = [number for number in range(logits.shape[1]) if number != condition]
    return logits[:, condition] - torch.logsumexp(logits[:, others], dim=1)


def grad_cam(network: ConvolutionalSupervisedAutoEncoder, x: Tensor, condition: int, stage: int = STAGE) -> Array:
    """Grad-CAM++ (Chattopadhay, WACV 2018) on one stage of the encoder.

    Parameters
    ----------
    network
        In evaluation mode.
    x
        (1, C, ...), prepared.
    condition
        Number of the class.
    stage
        Number of the stage.

    Returns
    -------
    Array
        (...), not below 0.
    """
    feature, gradient = _at(network, x, condition, stage)
    axes = tuple(range(2, feature.ndim))
    square, cube = gradient.square(), gradient.pow(3)
    below = 2 * square + (feature * cube).sum(axes, keepdim=True)
    alpha = square / torch.where(below.abs() > 1e-12, below, torch.ones_like(below))
    weight = (alpha * functional.relu(gradient)).sum(axes, keepdim=True)
    return _enlarged(functional.relu((weight * feature).sum(1, keepdim=True)), x)


def _at(network: ConvolutionalSupervisedAutoEncoder, x: Tensor, condition: int, stage: int) -> tuple[Tensor, Tensor]:
    """What leaves a stage of the encoder, and the gradient of the class's log-odds there: (1, C', ...) each."""
    with torch.no_grad():
        feature = x
        for number in range(stage + 1):
            feature = network.stage(feature, number)
    feature = feature.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(odds(network.logits_from(feature, stage), condition).sum(), feature)
    return feature.detach(), gradient


def _enlarged(coarse: Tensor, x: Tensor) -> Array:
    """(1, 1, ...) on the grid of `x`."""
    mode = "bilinear" if coarse.ndim == 4 else "trilinear"
    return np.asarray(
        functional.interpolate(coarse, size=x.shape[2:], mode=mode, align_corners=False)[0, 0].cpu().numpy()
    )


def hires_cam(network: ConvolutionalSupervisedAutoEncoder, x: Tensor, condition: int, stage: int = STAGE) -> Array:
    """HiResCAM (Draelos, 2020) on one stage of the encoder: gradient times feature, place by place.

    Grad-CAM++ weighs a channel by its gradients all over the image; here a place keeps its own, which a small lesion
    needs.

    Parameters
    ----------
    network
        In evaluation mode.
    x
        (1, C, ...), prepared.
    condition
        Number of the class.
    stage
        Number of the stage.

    Returns
    -------
    Array
        (...), not below 0.
    """
    feature, gradient = _at(network, x, condition, stage)
    return _enlarged(functional.relu((gradient * feature).sum(1, keepdim=True)), x)


class _GuidedReLU(torch.autograd.Function):
    """A rectifier that sends back only what is positive, and only where it let something through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        passed: Tensor = gradients[0].clamp(min=0) * (x > 0)
        return passed


class _Guided(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _GuidedReLU.apply(x)  # type: ignore[no-untyped-call]
        return y


def guided_gradient(network: ConvolutionalSupervisedAutoEncoder, x: Tensor, condition: int) -> Array:
    """The guided gradient of the class's log-odds (Springenberg, 2014).

    Parameters
    ----------
    network
        In evaluation mode.
    x
        (1, C, ...), prepared.
    condition
        Number of the class.

    Returns
    -------
    Array
        (C, ...), signed.
    """
    guided = copy.deepcopy(network)
    for module in guided.modules():
        if hasattr(module, "relu"):
            module.relu = _Guided()
    x = x.detach().clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(odds(guided.logits(x), condition).sum(), x)
    return np.asarray(gradient[0].cpu().numpy())


def guided_backpropagation(network: ConvolutionalSupervisedAutoEncoder, x: Tensor, condition: int) -> Array:
    """The size of the guided gradient, smoothed, as in the paper.

    Parameters
    ----------
    network
        In evaluation mode.
    x
        (1, C, ...), prepared.
    condition
        Number of the class.

    Returns
    -------
    Array
        (...), not below 0.
    """
    size = np.abs(guided_gradient(network, x, condition)).max(0)
    return np.asarray(ndimage.gaussian_filter(size, SMOOTH), np.float32)


def occlusion(network: ConvolutionalSupervisedAutoEncoder, x: Tensor, condition: int, batch: int = 32) -> Array:
    """How far the class's log-odds fall when a patch is blurred away.

    The patch is filled with a soft copy of the image itself: grey would be a lesion of its own.

    Parameters
    ----------
    network
        In evaluation mode.
    x
        (1, C, ...), prepared.
    condition
        Number of the class.
    batch
        Images in a batch.

    Returns
    -------
    Array
        (...), not below 0.
    """
    spatial = x.ndim - 2
    patch, stride = PATCH[spatial], STRIDE[spatial]
    size = x.shape[2:]
    soft = torch.from_numpy(ndimage.gaussian_filter(x.cpu().numpy(), (0, 0, *(patch / 3,) * spatial))).to(x.device)
    starts = [range(stride - patch, length, stride) for length in size]  # the margins are covered as often as the rest
    corners = np.array(np.meshgrid(*starts, indexing="ij")).reshape(spatial, -1).T
    corners = corners[_worth_covering((x - soft)[0, 0].abs().cpu().numpy(), corners, patch)]
    fall = np.zeros(size, np.float32)
    seen = np.zeros(size, np.float32)
    with torch.inference_mode():
        whole = float(odds(network.logits(x), condition))
        for first in range(0, len(corners), batch):
            some = corners[first : first + batch]
            places = [tuple(slice(max(0, int(c)), int(c) + patch) for c in corner) for corner in some]
            covered = x.repeat(len(some), *(1,) * (spatial + 1))
            for number, place in enumerate(places):
                covered[number][(slice(None), *place)] = soft[0][(slice(None), *place)]
            after = odds(network.logits(covered), condition).cpu().numpy()
            for value, place in zip(after, places, strict=True):
                fall[place] += whole - float(value)
                seen[place] += 1
    mean = np.clip(fall / np.maximum(seen, 1), 0, None)
    return np.asarray(ndimage.gaussian_filter(mean, stride / 2), np.float32)  # steps of a patch's corners are no edges


def _worth_covering(change: Array, corners: NDArray[np.int64], patch: int) -> NDArray[np.bool_]:
    """Which patches hold something: in the shadow there is next to nothing that covering could take away."""
    sums = [float(change[tuple(slice(max(0, c), c + patch) for c in corner)].sum()) for corner in corners]
    return np.asarray(np.array(sums) >= EMPTY * max(sums))


METHODS: dict[str, Method] = {
    "guided back-propagation": guided_backpropagation,
    "Grad-CAM++": grad_cam,
    "HiResCAM": hires_cam,
    "occlusion": occlusion,
}


def scaled(heat: Array) -> Array:
    """A map in 0..1, the hottest hundredth of a per cent saturated; all 0 if nothing speaks for the class."""
    top = float(np.quantile(heat, 0.9999))
    return np.asarray(np.clip(heat / top, 0, 1) if top > 0 else np.zeros_like(heat), np.float32)
