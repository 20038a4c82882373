"""The losses that heads for grades can be trained with.

Local label smoothing (after Maziarz 2021) moves a share `e` of the target to the grades next to it: an inner grade
keeps 1 - e and gives e/2 to each side, a grade at an end gives e to its one neighbour. The others are those that the
paper compares with, or that have been used since.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.hand_foot_scoring.heads import Loss, hard_target

SMOOTHING = 0.2  # share of the target that is moved to the neighbours
GAUSSIAN_SPREAD = 0.7  # grades


def local_smoothing_target(grade: Tensor, maximum: int, smoothing: float = SMOOTHING) -> Tensor:
    """The target of local label smoothing.

    Parameters
    ----------
    grade
        (N,) grades, which may be halves.
    maximum
        Highest grade.
    smoothing
        Share that is moved to the neighbours.

    Returns
    -------
    Tensor
        (N, maximum + 1) shares.

    Raises
    ------
    ValueError
        If `smoothing` would move the likeliest grade: at an end from 1/2 on.
    """
    if not 0 <= smoothing < 0.5:
        raise ValueError(f"smoothing of {smoothing} moves the likeliest grade at the ends of the scale")
    spread = torch.eye(maximum + 1, dtype=grade.dtype) * (1 - smoothing)
    for k in range(maximum):
        up = smoothing if k == 0 else smoothing / 2
        down = smoothing if k + 1 == maximum else smoothing / 2
        spread[k, k + 1], spread[k + 1, k] = up, down
    return hard_target(grade, maximum) @ spread


def gaussian_target(grade: Tensor, maximum: int, spread: float = GAUSSIAN_SPREAD) -> Tensor:
    """The target that falls off with the squared distance to the grade.

    Parameters
    ----------
    grade
        (N,) grades, which may be halves.
    maximum
        Highest grade.
    spread
        Standard deviation, in grades.

    Returns
    -------
    Tensor
        (N, maximum + 1) shares.
    """
    distance = grade[:, None] - torch.arange(maximum + 1, dtype=grade.dtype)
    return torch.softmax(-(distance**2) / (2 * spread**2), dim=1)


def grade_loss(loss: Loss, raw: Tensor, grade: Tensor, maximum: int, smoothing: float = SMOOTHING) -> Tensor:
    """Mean loss of a head's numbers.

    Parameters
    ----------
    loss
        Which loss.
    raw
        (N, outputs) numbers of the head.
    grade
        (N,) true grades; rows with a negative one are left out.
    maximum
        Highest grade of the head.
    smoothing
        Share that local smoothing moves to the neighbours.
    """
    kept = grade >= 0
    if not bool(kept.any()):
        return raw.sum() * 0
    raw, grade = raw[kept], grade[kept]
    if loss == "mse":
        return functional.mse_loss(raw[:, 0] * maximum, grade)
    if loss == "coral":
        above = (grade[:, None] > torch.arange(maximum, dtype=grade.dtype)).to(raw.dtype)
        return functional.binary_cross_entropy_with_logits(raw, above)
    if loss == "cross_entropy":
        target = hard_target(grade, maximum)
    elif loss == "gaussian":
        target = gaussian_target(grade, maximum)
    else:
        target = local_smoothing_target(grade, maximum, smoothing)
    return functional.cross_entropy(raw, target)
