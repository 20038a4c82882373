"""Whether a map of attention may be believed."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder

Array = NDArray[np.float32]


# ---- whether a method may be shown
def randomised(
    network: ConvolutionalSupervisedAutoEncoder, seed: int, last: int | None = None
) -> ConvolutionalSupervisedAutoEncoder:
    """A copy of a network with parameters drawn anew.

    Adebayo, NeurIPS 2018: a map that stays the same when the network has forgotten what it learned says something about
    the image, not about the network.

    Parameters
    ----------
    network
        Stays as it is.
    seed
        Of the new parameters.
    last
        Stages of the encoder, from its end, that are drawn anew besides the classifier; None: all.
    """
    changed = copy.deepcopy(network)
    torch.manual_seed(seed)
    stages = list(changed.encoder)
    for part in [changed.classify, *(stages if last is None else stages[len(stages) - last :])]:
        for module in part.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return changed.eval()


def similarity(one: Array, other: Array) -> float:
    """Spearman's rank correlation of two maps on at most some 4000 of their pixels; 0 if one is flat."""
    step = max(1, one.size // 4096)
    first, second = one.ravel()[::step], other.ravel()[::step]
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float) for values in (first, second)]
    return float(np.corrcoef(ranks)[0, 1])


def widened(lesion: NDArray[np.bool_], tolerance: int) -> NDArray[np.bool_]:
    """A lesion with a rim of `tolerance` pixels."""
    return np.asarray(ndimage.binary_dilation(lesion, iterations=tolerance) if tolerance else lesion)


def points_at(heat: Array, lesion: NDArray[np.bool_], tolerance: int) -> bool:
    """The pointing game: whether the hottest pixel lies in the lesion or near it.

    Parameters
    ----------
    heat
        (...).
    lesion
        (...).
    tolerance
        Pixels round the lesion that still count.
    """
    return bool(widened(lesion, tolerance)[np.unravel_index(int(heat.argmax()), heat.shape)]) and bool(heat.max() > 0)


def overlap(heat: Array, lesion: NDArray[np.bool_]) -> float:
    """Intersection over union of the lesion and as many of the hottest pixels."""
    number = int(lesion.sum())
    flat = np.zeros(heat.size, bool)
    flat[np.argsort(heat.ravel(), kind="stable")[-number:]] = True
    hottest = flat.reshape(heat.shape)
    return float((hottest & lesion).sum() / (hottest | lesion).sum())
