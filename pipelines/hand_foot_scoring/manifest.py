"""What the files of a bundle were trained on, and whether a folder is a bundle that this version can run; no torch."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

MANIFEST = "manifest.json"
PIPELINE = "hand_foot_scoring"
SIMULATED = "simulated radiographs"
OPEN = "openly licensed radiographs"  # real ones without grades, for places and to paint damage on
NOT_FOR_USE = "not for clinical use"


@dataclass(frozen=True)
class Source:
    """One set of films that a part of a bundle was trained on."""

    name: str  # for people, e.g. "RAM-H1200"
    licence: str = ""  # as whoever trained states it
    patients: int | None = None  # None where they are not counted, as of simulated ones
    films: int | None = None
    share: float | None = None  # of what the part learned from, 0..1
    layout: str = ""  # as `condyle train --layout`, of graded films
    sets: tuple[float, ...] = ()  # shares of the patients for training, calibration and test


@dataclass(frozen=True)
class PartRecord:
    """How one part of a bundle was made."""

    command: str
    seed: int
    sources: tuple[Source, ...] = (Source(SIMULATED),)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What stands in `manifest.json`: the parts of a bundle, each with how it was made."""

    parts: Mapping[str, PartRecord]

    @property
    def trained_on(self) -> str:
        """One sentence for whoever reads a result, e.g. "trained on simulated radiographs and X (80 patients), ..."."""
        found: dict[str, Source] = {}
        for record in self.parts.values():
            for source in record.sources:
                known = found.get(source.name)
                if known is None or _size(source) > _size(known):
                    found[source.name] = source
        names = sorted(found.values(), key=lambda source: source.name != SIMULATED)
        if [source.name for source in names] == [SIMULATED]:
            return f"trained on {SIMULATED} only, {NOT_FOR_USE}"
        *others, last = [_named(source) for source in names]
        return f"trained on {', '.join(others)}{' and ' if others else ''}{last}, {NOT_FOR_USE}"


def _size(source: Source) -> tuple[int, int]:
    return source.patients or 0, source.films or 0


def _named(source: Source) -> str:
    for count, one in ((source.patients, "patient"), (source.films, "film")):
        if count is not None:
            return f"{source.name} ({count} {one if count == 1 else one + 's'})"
    return source.name


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a bundle; None where it has none, as bundles of earlier versions.

    Raises
    ------
    ValueError
        If the file is not a manifest, or is that of another pipeline; the message names the file.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        pipeline = str(stored["pipeline"])
        manifest = Manifest({str(name): _record(row) for name, row in stored["parts"].items()})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: is not a manifest that condyle train wrote") from error
    if pipeline != PIPELINE:
        raise ValueError(f"{path}: the bundle is one of {pipeline}, not of {PIPELINE}")
    return manifest


def _record(row: Mapping[str, Any]) -> PartRecord:
    return PartRecord(
        str(row["command"]),
        int(row["seed"]),
        tuple(_source(source) for source in row["sources"]),
        tuple(str(remark) for remark in row["remarks"]),
    )


def _source(row: Mapping[str, Any]) -> Source:
    """A source whose values have the types that they should have: somebody may have edited the file."""
    source = Source(**{**row, "sets": tuple(map(float, row.get("sets", ())))})
    counts = (source.patients, source.films)
    if not isinstance(source.name, str) or not all(count is None or isinstance(count, int) for count in counts):
        raise TypeError("a name that is no text, or a number that is none")
    return source


def add_to_manifest(folder: Path, part: str, record: PartRecord) -> None:
    """Write how a part of a bundle was made into its manifest; what stands there of other parts stays."""
    before = read_manifest(folder)
    parts = {**(before.parts if before is not None else {}), part: record}
    whole = {"pipeline": PIPELINE, "parts": {name: asdict(parts[name]) for name in sorted(parts)}}
    (folder / MANIFEST).write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# ---------------------------------------------------------------- can this version run it?
Shapes = dict[str, tuple[int, ...]]


def problem(folder: Path, shipped: Path, files: tuple[str, ...]) -> str | None:
    """Why a folder cannot be used as a bundle, read from headers alone; None where it can.

    Nothing in it is executed: weights are safetensors, arrays are plain numbers, the rest is JSON.

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
        read_manifest(folder)
        for name in files:
            found = _differs(folder / name, shipped / name)
            if found is not None:
                return f"{name} does not fit this version: {found}; train it again with this version"
    except ValueError as error:
        return str(error)
    return None


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
                return shapes, str((stored.metadata() or {}).get("loss", ""))
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
