"""The trained parts as files: two networks, the calibration, the shape model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from pipelines.hand_foot_scoring.calibration import CalibrationMap, GradeCalibration
from pipelines.hand_foot_scoring.digest import FOLDER
from pipelines.hand_foot_scoring.heads import Loss
from pipelines.hand_foot_scoring.network import Damage, Localiser


@dataclass(frozen=True)
class Trained:
    """What `condyle train` makes and the pipeline loads."""

    localiser: Localiser
    damage: Damage
    calibration: GradeCalibration


def save_damage(damage: Damage, folder: Path) -> None:
    """Write the damage heads as safetensors."""
    save_network(damage, folder / "damage.safetensors")


def save_calibration(calibration: GradeCalibration, folder: Path) -> None:
    """Write the calibration as JSON."""
    text = json.dumps(asdict(calibration), indent=None, separators=(",", ": "))
    (folder / "calibration.json").write_text(text.replace('"matrix"', '\n "matrix"') + "\n", encoding="utf-8")


def save_network(network: nn.Module, path: Path) -> None:
    """The weights of one network."""
    told = {"loss": network.loss} if isinstance(network, Damage) else None
    save_file({name: value.detach().contiguous() for name, value in network.state_dict().items()}, str(path), told)


def load_localiser(path: Path = FOLDER / "localiser.safetensors") -> Localiser:
    network = Localiser()
    network.load_state_dict(load_file(str(path)))
    network.eval()
    return network


def load_damage(path: Path = FOLDER / "damage.safetensors") -> Damage:
    """The damage heads; which loss they were trained with stands in the file."""
    with safe_open(str(path), "pt") as file:
        loss: Loss = file.metadata()["loss"]
    network = Damage(loss)
    network.load_state_dict(load_file(str(path)))
    network.eval()
    return network


def load_calibration(path: Path = FOLDER / "calibration.json") -> GradeCalibration:
    stored = json.loads(path.read_text(encoding="utf-8"))
    return GradeCalibration({pooling: CalibrationMap(**stage) for pooling, stage in stored["stages"].items()})


def load(folder: Path = FOLDER) -> Trained:
    """The trained networks with their calibration."""
    return Trained(
        load_localiser(folder / "localiser.safetensors"),
        load_damage(folder / "damage.safetensors"),
        load_calibration(folder / "calibration.json"),
    )
