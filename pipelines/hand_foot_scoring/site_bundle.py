"""Whether a folder is a bundle that this version can run, read from headers alone; no torch."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from pipelines.bundle_configs import INFERENCE, METADATA, read_config, read_metadata
from pipelines.hand_foot_scoring.provenance import PIPELINE, read_provenance

Shapes = dict[str, tuple[int, ...]]
DAMAGE = "models/damage.safetensors"
MODELS = "models/"  # the files that hold what was learned
LOSS = "loss"


def problem(folder: Path, shipped: Path, files: tuple[str, ...]) -> str | None:
    """Why a folder cannot be used as a bundle, read from headers alone; None where it can.

    Nothing in it is executed: weights are safetensors, arrays are plain numbers, the rest is JSON, whose configs call
    nothing that those of the shipped bundle do not.

    Parameters
    ----------
    folder
        The bundle.
    shipped
        The bundle that ships with this version: its arrays have the shapes that this version computes with.
    files
        The files that a bundle has.
    """
    if not folder.is_absolute():
        return f"{folder} is not an absolute path"
    if not folder.is_dir():
        return f"{folder} is not a folder"
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        return f"holds no {' and no '.join(missing)}; should be a folder that condyle train {PIPELINE} wrote"
    try:
        stated, source = read_metadata(folder).get("data_source"), read_provenance(folder).data_source
        if stated != source:
            return f"{METADATA}: data_source is {stated!r}, but its parts were trained on {source}"
        found = _other_networks(folder, shipped)
        if found is not None:
            return found
        for name in (name for name in files if name.startswith(MODELS)):
            found = _differs(folder / name, shipped / name)
            if found is not None:
                return f"{name} does not fit this version: {found}; train it again with this version"
    except ValueError as error:
        return str(error)
    return None


def _other_networks(folder: Path, shipped: Path) -> str | None:
    """How the networks of a bundle's config differ from the shipped ones or from its own weights."""
    own, theirs = read_config(folder, shipped), read_config(shipped, shipped)
    for name in ("localiser_def", "damage_def"):
        if _but_loss(own[name]) != _but_loss(theirs[name]):
            return f"{INFERENCE}: {name} is not the network of this version; train it again with this version"
    said, learned = own["damage_def"].get(LOSS), _shapes(folder / DAMAGE)[1]
    if said != learned:
        return f"{INFERENCE}: names the loss {said}, but {DAMAGE} was trained with {learned or 'one it does not name'}"
    return None


def _but_loss(network: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in network.items() if key != LOSS}


def _differs(own: Path, shipped: Path) -> str | None:
    """How the arrays of a file differ from those of the shipped one, as far as that matters."""
    found, loss = _shapes(own)
    expected, shipped_loss = _shapes(shipped)
    lacking, beyond = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if lacking or beyond:
        return f"it lacks {lacking[0]}" if lacking else f"it holds {beyond[0]}, which this version does not know"
    for key in sorted(expected):
        wanted, is_there = (_fixed(key, shapes[key], loss != shipped_loss) for shapes in (expected, found))
        if is_there != wanted:
            return f"{key} is {_text(found[key])}, expected {_text(expected[key])}"
    return None


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) if shape else "a number"


def _fixed(key: str, shape: tuple[int, ...], other_loss: bool) -> tuple[int, ...]:
    """The part of a shape that no training changes."""
    modes = key.endswith((".modes", ".spread"))  # an arrangement of joints has as many as its training data need
    grades = other_loss and key.startswith("heads.")  # the loss says how many numbers a head gives (`heads.outputs`)
    return shape[1:] if modes or grades else shape


def _shapes(path: Path) -> tuple[Shapes, str]:
    """The shapes of the arrays in a file, and the loss that a damage network names.

    Raises
    ------
    ValueError
        If the file cannot be read; the message names it.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(str(path), "np") as stored:
                shapes = {key: tuple(stored.get_slice(key).get_shape()) for key in stored.keys()}  # noqa: SIM118
                return shapes, str((stored.metadata() or {}).get(LOSS, ""))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                return {key: stored[key].shape for key in stored.files}, ""
        return dict(_sizes("", json.loads(path.read_text(encoding="utf-8")))), ""
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, zipfile.BadZipFile, ValueError) as error:  # also of JSON and of text that is no UTF-8
        raise ValueError(f"{path.name} cannot be read: it is damaged, or of another kind") from error


def _sizes(key: str, value: object) -> list[tuple[str, tuple[int, ...]]]:
    """The numbers of a JSON file as arrays, by the path of their keys."""
    if isinstance(value, dict):
        return [pair for name, inner in value.items() for pair in _sizes(f"{key}.{name}" if key else name, inner)]
    if isinstance(value, list):
        return [(key, np.shape(np.array(value, dtype=object)))]
    return [(key, ())]
