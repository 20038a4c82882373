"""The weights that a training starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dicom_sr.errors import UnsuitableInput
from pipelines.bundle import bundle_digest
from pipelines.joint_classification.kinds import KINDS, WEIGHTS, Dimensions


@dataclass(frozen=True)
class Start:
    """Weights, and what they are called in checkpoint and metadata."""

    name: str  # digest of a bundle's weights, or `random weights`
    weights: dict[str, Tensor] | None  # None: random ones

    def training_name(self, *settings: object) -> str:
        """What tells a training from here from others, for its checkpoint."""
        return ", ".join((*map(str, settings), f"from {self.name}"))


def start_from(dimensions: Dimensions, bundle: str | Path = "") -> Start:
    """The weights of a folder of bundles that was trained before; without one, random weights.

    Raises
    ------
    UnsuitableInput
        If the folder has no weights for this network.
    """
    if not str(bundle):
        return Start("random weights", None)
    from safetensors.torch import load_file

    path = Path(bundle) / KINDS[dimensions] / WEIGHTS
    if not path.is_file():
        raise UnsuitableInput(f"{bundle}: has no {KINDS[dimensions]}/{WEIGHTS} to start from")
    return Start(f"weights {bundle_digest({path.name: path})}", load_file(path))
