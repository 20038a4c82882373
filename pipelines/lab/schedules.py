"""Courses of the learning rate, made of torch's."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR


def warm_up_then_cosine(optimizer: Optimizer, steps: int, warm_up: int, least: float = 0.0) -> SequentialLR:
    """Rises in a line over the first steps to the optimiser's rate, then falls along half a cosine.

    Parameters
    ----------
    optimizer
        With the highest rate.
    steps
        Of the training.
    warm_up
        Steps of the rise, 1 or more; the last of them has the highest rate.
    least
        Rate that the fall ends at.
    """
    rise = LinearLR(optimizer, start_factor=1 / warm_up, total_iters=warm_up - 1)
    fall = CosineAnnealingLR(optimizer, T_max=max(1, steps - warm_up), eta_min=least)
    return SequentialLR(optimizer, [rise, fall], milestones=[warm_up])
