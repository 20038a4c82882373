"""A training that was broken off goes on where it was: network, optimiser and schedule in one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps its state, and how it is found again.

    `name` says what is trained and how (seed, length, loss): a state of another training is not taken up.
    """

    path: Path
    name: str

    def save(
        self,
        done: int,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
    ) -> None:
        """Keep the state after `done` rounds; a kill while it is written leaves the one before."""
        state = {
            "name": self.name,
            "done": done,
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
        }
        half = self.path.with_suffix(".half")
        torch.save(state, half)
        half.replace(self.path)

    def resume(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
    ) -> int:
        """Take the state up into what is given and tell how many rounds are done; 0 where there is none."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=True)
        if state["name"] != self.name:
            return 0
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        return int(state["done"])

    def remove(self) -> None:
        """The training is over."""
        self.path.unlink(missing_ok=True)
