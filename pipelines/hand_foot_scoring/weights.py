"""The files of a bundle: two networks, the calibration, the shape models, the gate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipelines.bundle_configs import parser
from pipelines.hand_foot_scoring import BUNDLE, CALIBRATION, DAMAGE, GATE, LOCALISER
from pipelines.hand_foot_scoring.calibration import CalibrationMap, GradeCalibration
from pipelines.hand_foot_scoring.gate import JointGate
from pipelines.hand_foot_scoring.heads import Loss
from pipelines.hand_foot_scoring.network import Damage, Graded, Localiser, Seen, graded, seen
from pipelines.hand_foot_scoring.shape import ShapeModel
from pipelines.hand_foot_scoring.sites import Part


@dataclass(frozen=True)
class Trained:
    """What `condyle train` makes and the pipeline loads."""

    localiser: Localiser
    damage: Damage
    calibration: GradeCalibration
    shapes: Mapping[Part, ShapeModel]
    gate: JointGate
    # how the networks are run: the inferers of the bundle's config where it was built from one
    locate: Callable[[Tensor, Localiser], Seen] = seen
    grade: Callable[[Tensor, Damage, Tensor], Graded] = graded


def save_damage(damage: Damage, folder: Path) -> None:
    """Write the damage network into a bundle."""
    save_network(damage, folder / DAMAGE)


def save_calibration(calibration: GradeCalibration, folder: Path) -> None:
    """Write the calibration into a bundle."""
    text = json.dumps(asdict(calibration), indent=None, separators=(",", ": "))
    (folder / CALIBRATION).write_text(text.replace('"matrix"', '\n "matrix"') + "\n", encoding="utf-8")


def save_gate(gate: JointGate, folder: Path) -> None:
    """Write the gate into a bundle."""
    np.savez(folder / GATE, **gate.arrays())  # type: ignore[arg-type]


def save_network(network: nn.Module, path: Path) -> None:
    """Write the weights of one network; with a damage network goes the name of the loss that it was trained with."""
    metadata: dict[str, str] | None = {"loss": network.loss} if isinstance(network, Damage) else None
    save_file({name: value.detach().contiguous() for name, value in network.state_dict().items()}, str(path), metadata)
    path.chmod(0o644)  # save_file leaves it to its owner, and the node may be another account


def load_localiser(path: Path = BUNDLE / LOCALISER) -> Localiser:
    """The localiser in a file, ready for inference."""
    network = Localiser()
    network.load_state_dict(load_file(str(path)))
    network.eval()
    return network


def load_damage(path: Path = BUNDLE / DAMAGE) -> Damage:
    """The damage network in a file, ready for inference; the file says which loss it was trained with."""
    with safe_open(str(path), "pt") as file:
        loss: Loss = file.metadata()["loss"]
    network = Damage(loss)
    network.load_state_dict(load_file(str(path)))
    network.eval()
    return network


def load_calibration(path: str | Path = BUNDLE / CALIBRATION) -> GradeCalibration:
    """The calibration in a file."""
    stored = json.loads(Path(path).read_text(encoding="utf-8"))
    return GradeCalibration({pooling: CalibrationMap(**stage) for pooling, stage in stored["stages"].items()})


def load_gate(path: str | Path = BUNDLE / GATE) -> JointGate:
    """The gate in a file."""
    with np.load(path) as stored:
        return JointGate.of(stored)


def load(folder: Path = BUNDLE, device: str = "cpu") -> Trained:
    """Everything in a bundle, built by its inference config.

    Parameters
    ----------
    folder
        The bundle.
    device
        Name of the device that the networks run on, see `pipelines.device`.

    Raises
    ------
    UnusableBundle
        If the config is missing, or calls what the shipped one does not.
    FileNotFoundError
        If another file is missing.
    """
    trained: Trained = parser(folder, BUNDLE, device=device).get_parsed_content("trained")
    return trained
