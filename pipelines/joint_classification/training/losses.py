"""The losses of the auto-encoder."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.network import Output


def csae_loss(output: Output, image: Tensor, label: Tensor, class_weight: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) MSE(image, reconstruction) + alpha CE(label, logits), weighted by class (formula 1 of the paper).

    The classification term printed there lacks a minus sign and multiplies a prediction by its own logarithm; ordinary
    weighted cross-entropy is meant. alpha = 1 is a plain classifier, the ablation to report beside every result.

    Parameters
    ----------
    image
        (M, C, ...), what was to be drawn: as many images as there are drawings.
    label
        (N,) class numbers.
    class_weight
        (classes,), inversely proportional to how often a class occurs.
    """
    classification = functional.cross_entropy(output.logits, label, weight=class_weight)
    if alpha >= 1.0:
        return classification
    return (1 - alpha) * functional.mse_loss(output.reconstruction, image) + alpha * classification


def foreign_loss(logit: Tensor, known: int) -> Tensor:
    """Binary cross-entropy of "none of these"; the first `known` images of a batch are of a class, the others not."""
    right = torch.zeros_like(logit)
    right[known:] = 1.0
    loss = functional.binary_cross_entropy_with_logits(logit, right, reduction="none")
    return 0.5 * (loss[:known].mean() + loss[known:].mean())


def inverse_frequency(labels: Tensor, classes: int = len(CLASSES)) -> Tensor:
    """(N,) labels -> (classes,) weights whose mean over the samples is 1."""
    count = torch.bincount(labels, minlength=classes).clamp(min=1).float()
    return labels.numel() / (classes * count)
