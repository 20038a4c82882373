"""What a training run depends on beside the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FACTORS = (2, 3, 4, 8)  # that uncertainty is calibrated at and the rivals are trained for


@dataclass(frozen=True)
class Plan:
    """All that a run depends on beside the data."""

    method: Literal["learned", "deepresolve"] = "learned"
    factor: float | None = None  # DeepResolve is trained for one
    seed: int = 0
    steps: int = 7000
    rate: float = 1.2e-3
    depth: int = 96  # of a patch, thin slices at most
    thick: int = 16  # of a patch, thick slices at most, or more for 40 thin ones
    size: int = 40  # of a patch, pixels
    batch: int = 1  # patches of a step, each with a degradation of its own
    channels: int = 32
    blocks: int = 5
    real_share: float = 0.5  # of the steps, where real volumes are given
    device: str = "cpu"
    threads: int = 1  # patches worked on at once; one thread each wastes less than many threads on one
