"""The trained parts as files: two networks, the calibration, the shape model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from pipelines.hand_foot_scoring.damage_training import Calibration
from pipelines.hand_foot_scoring.digest import FOLDER
from pipelines.hand_foot_scoring.network import Damage, Localiser


@dataclass(frozen=True)
class Trained:
    """What `condyle train` makes and the pipeline loads."""

    localiser: Localiser
    damage: Damage
    calibration: Calibration


def save(trained: Trained, folder: Path = FOLDER) -> None:
    """Write everything that is trained."""
    folder.mkdir(parents=True, exist_ok=True)
    save_network(trained.localiser, folder / "localiser.safetensors")
    save_damage(trained.damage, trained.calibration, folder)


def save_damage(damage: Damage, calibration: Calibration, folder: Path) -> None:
    """Write the damage heads as safetensors and their calibration as JSON."""
    save_network(damage, folder / "damage.safetensors")
    text = json.dumps({"loss": damage.loss, **asdict(calibration)}, indent=1)
    (folder / "calibration.json").write_text(text + "\n", encoding="utf-8")


def save_network(network: nn.Module, path: Path) -> None:
    """The weights of one network."""
    save_file({name: value.detach().contiguous() for name, value in network.state_dict().items()}, str(path))


def load_localiser(path: Path = FOLDER / "localiser.safetensors") -> Localiser:
    network = Localiser()
    network.load_state_dict(load_file(str(path)))
    network.eval()
    return network


def load(folder: Path = FOLDER) -> Trained:
    """The trained networks with their calibration."""
    stored = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    damage = Damage(stored["loss"])
    damage.load_state_dict(load_file(str(folder / "damage.safetensors")))
    damage.eval()
    calibration = Calibration(
        stored["temperature"], {head: tuple(bias) for head, bias in stored["bias"].items()}, stored["correlation"]
    )
    return Trained(load_localiser(folder / "localiser.safetensors"), damage, calibration)
