"""What every training needs beside its own loop: checkpoints to resume from, and the running average of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class OtherTraining(ValueError):
    """The checkpoint was written by a training with other settings, or on other data."""


class Stateful(Protocol):
    """A network, an optimiser, a schedule, an average: whatever a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that is needed to go on from here."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Go on from a state."""


@dataclass(frozen=True)
class Checkpoint:
    """The file that holds the state of a training, and what tells that training from others.

    `name` says what is trained and how (seed, length, loss), `data` is the digest of what it is trained on; a
    checkpoint with another name or other data is refused.
    """

    path: Path
    name: str
    data: str = ""  # see `pipelines.lab.training_data`; empty: nothing but what `name` says

    def save(self, done: int, **parts: Stateful) -> None:
        """Write the state of every part after `done` rounds; if the process is killed meanwhile, the last one stays."""
        state = {
            "name": self.name,
            "data": self.data,
            "done": done,
            "parts": {name: part.state_dict() for name, part in parts.items()},
        }
        partial = self.path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.path)

    def resume(self, **parts: Stateful) -> int:
        """Load the state into the parts and return how many rounds are done; 0 where there is no checkpoint.

        Raises
        ------
        OtherTraining
            If the checkpoint belongs to a training with other settings, or on other data.
        """
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=True, map_location="cpu")
        if state.get("name") != self.name:
            raise OtherTraining(f"{self.path} belongs to a training with other settings; remove it, or write elsewhere")
        if state.get("data", "") != self.data:
            raise OtherTraining(
                f"{self.path} belongs to a training on other data: files were added, removed or changed since; remove"
                " it, write elsewhere, or bring the data back to what they were"
            )
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        return int(state["done"])

    def remove(self) -> None:
        """Remove the checkpoint after the training."""
        self.path.unlink(missing_ok=True)


class RunningAverage:
    """The weights of a network averaged over its steps, the latest weighing most: less noisy than those of one step.

    Parameters
    ----------
    decay
        Share of the average that a step leaves unchanged; smaller in the first steps, so that they are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def follow(self, network: nn.Module, step: int) -> None:
        """Add the weights after a step, counted from 0; integers (counts of a batch normalisation) are copied."""
        keep = min(self.decay, (step + 1) / (step + 10))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1 - keep)
            else:
                self.values[name].copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights."""
        return self.values

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Continue from averaged weights."""
        for name, value in state_dict.items():
            self.values[name].copy_(value)
