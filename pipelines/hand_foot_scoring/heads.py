"""The heads of the damage network: what each grades, and the distribution over grades that its numbers stand for."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from pipelines.hand_foot_scoring.scoring import Cell

MAXIMUM = {"hand_erosion": 5, "foot_erosion": 10, "narrowing": 4}  # highest grade of each head
STATES = ("evaluable", "prosthesis", "covered", "absent")  # what a crop may show

# The loss that a network was trained with says how its numbers are read; `training.losses` explains each.
Loss = Literal["cross_entropy", "mse", "gaussian", "coral", "local_smoothing"]
LOSSES: tuple[Loss, ...] = get_args(Loss)


def head_of(cell: Cell) -> str:
    """The head that grades a cell."""
    if cell.kind == "narrowing":
        return "narrowing"
    return "hand_erosion" if cell.limb == "hand" else "foot_erosion"


def outputs(loss: Loss, maximum: int) -> int:
    """How many numbers a head for grades 0..maximum gives under `loss`."""
    return {"mse": 1, "coral": maximum}.get(loss, maximum + 1)


def hard_target(grade: Tensor, maximum: int) -> Tensor:
    """Shares (N, maximum + 1) of (N,) grades; a half grade is split between its two neighbours."""
    distance = (grade[:, None] - torch.arange(maximum + 1, dtype=grade.dtype)).abs()
    return (1 - distance).clamp_min(0)


def distribution(loss: Loss, raw: Tensor, maximum: int) -> Tensor:
    """Probabilities of the grades that a head's numbers stand for.

    Parameters
    ----------
    loss
        The loss that the network was trained with.
    raw
        (N, outputs) numbers of the head.
    maximum
        Highest grade of the head.

    Returns
    -------
    Tensor
        (N, maximum + 1) probabilities.
    """
    if loss == "mse":
        return hard_target((raw[:, 0] * maximum).clamp(0, maximum), maximum)
    if loss == "coral":  # cumulative: P(grade > k), made to fall with k
        above = torch.cummin(torch.sigmoid(raw), dim=1).values
        edges = torch.cat((torch.ones_like(above[:, :1]), above, torch.zeros_like(above[:, :1])), dim=1)
        return edges[:, :-1] - edges[:, 1:]
    return torch.softmax(raw, dim=1)


def log_distribution(loss: Loss, raw: Tensor, maximum: int) -> Tensor:
    """Logarithms of what `distribution` gives, none below that of one in a million: what the calibration takes."""
    return distribution(loss, raw, maximum).clamp_min(1e-6).log()
