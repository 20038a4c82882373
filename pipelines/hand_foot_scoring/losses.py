"""Losses for grades, and the distribution over grades that each kind of head stands for.

Local label smoothing (after Maziarz 2021) moves a share `e` of the target to the grades next to it: interior 1 - e and
e/2 on each side, at the ends 1 - e and e on the one neighbour. The others are what the paper compares with or what has
been used since.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

Loss = Literal["cross_entropy", "mse", "gaussian", "coral", "local_smoothing"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
SMOOTHING = 0.2
GAUSSIAN_SPREAD = 0.7  # grades
IGNORED = -1.0


def outputs(loss: Loss, maximum: int) -> int:
    """Numbers that a head for grades 0..maximum gives under `loss`."""
    return {"mse": 1, "coral": maximum}.get(loss, maximum + 1)


def hard_target(grade: Tensor, maximum: int) -> Tensor:
    """(N,) grades, which may be halves, to (N, maximum + 1) shares: between two grades by linear interpolation."""
    distance = (grade[:, None] - torch.arange(maximum + 1, dtype=grade.dtype)).abs()
    return (1 - distance).clamp_min(0)


def local_smoothing_target(grade: Tensor, maximum: int, smoothing: float = SMOOTHING) -> Tensor:
    """(N, maximum + 1) smoothed shares.

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
    """(N, maximum + 1) shares that fall off with the squared distance to the grade."""
    distance = grade[:, None] - torch.arange(maximum + 1, dtype=grade.dtype)
    return torch.softmax(-(distance**2) / (2 * spread**2), dim=1)


def grade_loss(loss: Loss, raw: Tensor, grade: Tensor, maximum: int, smoothing: float = SMOOTHING) -> Tensor:
    """Mean loss of (N, outputs) raw numbers against (N,) grades; rows with a negative grade are left out."""
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


def distribution(loss: Loss, raw: Tensor, maximum: int) -> Tensor:
    """(N, maximum + 1) probabilities of the grades that raw numbers stand for."""
    if loss == "mse":
        return hard_target((raw[:, 0] * maximum).clamp(0, maximum), maximum)
    if loss == "coral":  # cumulative: P(grade > k), made to fall with k
        above = torch.cummin(torch.sigmoid(raw), dim=1).values
        edges = torch.cat((torch.ones_like(above[:, :1]), above, torch.zeros_like(above[:, :1])), dim=1)
        return edges[:, :-1] - edges[:, 1:]
    return torch.softmax(raw, dim=1)
