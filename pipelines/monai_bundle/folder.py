"""A bundle as it lies on disk: its files, their digest, its configuration and what it says of itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.bundle import bundle_digest
from pipelines.monai_bundle.parts import Build, Unread
from pipelines.monai_bundle.reading import ROOMS, Reader, UnreadableBundle, in_rooms, load_file
from pipelines.monai_bundle.targets import READS_IMAGES, known_name

CONFIGURATIONS = ("inference.json", "inference.yaml", "inference.yml")
WEIGHTS = ("model.safetensors", "model.pt", "model.pth")
CONVERTED = ".safetensors"
_SOUGHT = {  # by part: the names that configurations give it, after what the evaluator names
    "network": ("network", "network_def", "net"),
    "inferer": ("inferer",),
    "preprocessing": ("preprocessing", "pre_transforms"),
    "postprocessing": ("postprocessing", "post_transforms"),
}


@dataclass(frozen=True)
class Parts:
    """What a declarative bundle is made of; None where there is none, or where it is not understood (`unread`)."""

    network: Build | None
    preprocessing: Build | None
    inferer: Build | None
    postprocessing: Build | None
    detector: Build | None
    unread: tuple[Unread, ...]
    left_out: tuple[str, ...]  # places and targets that the pipeline does without
    loaded: tuple[str, ...]  # keys of the images that it loads
    channel_first: bool  # whether loading them adds an axis of channels
    inverted: bool  # whether the postprocessing takes the preprocessing back


class BundleFolder:
    """A folder in the form of MONAI's model zoo: configs/, models/ and perhaps scripts/.

    Raises
    ------
    UnreadableBundle
        If it is no such folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _readable(path):
            if path.is_file():
                raise UnreadableBundle(
                    f"{path}: is a file, and a bundle is a folder; an archive has to be unpacked first"
                )
            if not (path / "configs").is_dir():
                raise UnreadableBundle(f"{path}: is no bundle: it has no folder configs")

    # ---- files
    @property
    def files(self) -> dict[str, Path]:
        """Every file that a result may follow from, by its name in the bundle.

        Raises
        ------
        UnreadableBundle
            If a folder cannot be read.
        """
        with _readable(self.path):
            found = (path for room in self.rooms for path in _below(room))
            return {
                path.relative_to(self.path).as_posix(): path
                for path in found
                if path.is_file() and "__pycache__" not in path.parts
            }

    @property
    def rooms(self) -> tuple[Path, ...]:
        """The folders that `files` lie in: nothing else of a bundle has a part in its results."""
        return rooms_of(self.path)

    @property
    def digest(self) -> str:
        """SHA-256, hex, over names and contents of `files`.

        Raises
        ------
        UnreadableBundle
            If one cannot be read.
        """
        with _readable(self.path):
            return bundle_digest(self.files)

    @property
    def configuration_file(self) -> Path:
        """The configuration of inference.

        Raises
        ------
        UnreadableBundle
            If there is none.
        """
        with _readable(self.path):
            for name in CONFIGURATIONS:
                if (path := self.path / "configs" / name).is_file():
                    return path
        raise UnreadableBundle(f"{self.path}: has none of {', '.join(f'configs/{name}' for name in CONFIGURATIONS)}")

    @property
    def weights_file(self) -> Path:
        """The weights: those in safetensors where there are both.

        Raises
        ------
        UnreadableBundle
            If there are none.
        """
        named = self._named_weights()
        candidates = [named.with_suffix(CONVERTED), named] if named is not None else []
        with _readable(self.path):
            for path in (*candidates, *(self.path / "models" / name for name in WEIGHTS)):
                if path.is_file():
                    return path
            hint = "; large_files.yml says where they are" if (self.path / "large_files.yml").is_file() else ""
        raise UnreadableBundle(f"{self.path}: has no weights (models/{WEIGHTS[1]}){hint}")

    def _named_weights(self) -> Path | None:
        """The file that the configuration loads, where that can be read and lies in a folder that the digest covers."""
        reader = Reader(self.values, self.path)
        handlers = reader.raw("handlers")
        count = len(handlers) if isinstance(handlers, list) else 0
        places = ["checkpointloader", *(f"handlers::{i}" for i in range(count))]
        for place in places:
            raw = reader.raw(place)
            if isinstance(raw, dict) and raw.get("_target_") == "CheckpointLoader" and "load_path" in raw:
                path = reader.part(f"{place}::load_path")
                if isinstance(path, str) and in_rooms(self.path, path) is not None:
                    return Path(path)
        return None

    # ---- what it says
    @cached_property
    def values(self) -> dict[str, Any]:
        """The configuration of inference as plain values.

        Raises
        ------
        UnreadableBundle
            If it cannot be read.
        """
        values = load_file(self.configuration_file)
        if not isinstance(values, dict):
            raise UnreadableBundle(f"{self.configuration_file}: holds no sections")
        return values

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """configs/metadata.json; empty where there is none."""
        path = self.path / "configs" / "metadata.json"
        values = load_file(path) if path.is_file() else {}
        return values if isinstance(values, dict) else {}

    def said(self, *keys: str) -> str:
        """A text of the metadata, empty where there is none."""
        found: Any = self.metadata
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return " ".join(str(found).split()) if isinstance(found, str | int | float) else ""

    @property
    def inputs(self) -> dict[str, dict[str, Any]]:
        """The inputs of the network by name, as the metadata describe them."""
        return _mappings(self.metadata, "network_data_format", "inputs")

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """The outputs of the network by name, as the metadata describe them."""
        return _mappings(self.metadata, "network_data_format", "outputs")

    @property
    def channels(self) -> dict[int, str]:
        """What the channels, or labels, of the output mean, as the metadata say."""
        of = (self.outputs.get("pred") or next(iter(self.outputs.values()), {})).get("channel_def")
        named = of.items() if isinstance(of, dict) else ()
        return {int(key): str(name) for key, name in named if str(key).isdecimal()}

    def names_of_parts(self) -> dict[str, str | None]:
        """The names that the configuration gives its parts; None where it has none."""
        reader = Reader(self.values, self.path)
        return {part: self._name_of(part, reader) for part in _SOUGHT}

    def parts(self) -> Parts:
        """What it is made of, read statically."""
        reader = Reader(self.values, self.path)
        names = {part: self._name_of(part, reader) for part in _SOUGHT}
        read = {part: None if name is None else reader.part(name) for part, name in names.items()}
        detector = reader.part("detector") if reader.has("detector") else None
        if detector is not None:
            reader.part("detector_ops") if reader.has("detector_ops") else None
        for part in ("network", "preprocessing"):
            if (place := names[part]) is None:
                reader.unread[part] = Unread(
                    part, "missing", f"the configuration has none of {', '.join(_SOUGHT[part])}"
                )
            elif read[part] is None:
                reader.unread.setdefault(place, Unread(place, "missing", "it is empty or switched off"))
        for part, value in read.items():
            if value is not None and not isinstance(value, Build):
                place = names[part] or part
                reader.unread.setdefault(place, Unread(place, str(value)[:60], "is no object with a _target_"))
        loads = [
            {
                key: reader.part(f"{where}::{key}")
                for key in ("keys", "ensure_channel_first")
                if reader.has(f"{where}::{key}")
            }
            for where, target in reader.left_out.items()
            if known_name(target) in READS_IMAGES
        ]
        built = {part: value if isinstance(value, Build) else None for part, value in read.items()}
        return Parts(
            **built,
            detector=detector if isinstance(detector, Build) else None,
            unread=tuple(reader.unread.values()),
            left_out=tuple(f"{where}: {target}" for where, target in reader.left_out.items()),
            loaded=tuple(dict.fromkeys(key for keys in (_listed(one.get("keys")) for one in loads) for key in keys)),
            channel_first=any(one.get("ensure_channel_first") is True for one in loads),
            inverted=any(known_name(one.target) == "Invertd" for one in targets_in(built["postprocessing"])),
        )

    def _name_of(self, part: str, reader: Reader) -> str | None:
        evaluator = reader.raw("evaluator")
        named = evaluator.get(part) if isinstance(evaluator, dict) else None
        if isinstance(named, str) and named.startswith("@") and reader.has(named[1:]):
            return named[1:].replace("#", "::")
        return next((name for name in _SOUGHT[part] if reader.has(name)), None)


def rooms_of(folder: Path) -> tuple[Path, ...]:
    """The folders of a bundle that its digest covers, those that are there."""
    return tuple(path for room in ROOMS if (path := folder / room).is_dir())


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Tell files that the system does not let this account read from those that are not there."""
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise UnreadableBundle(f"{error.filename or folder}: cannot be read by this account: {why}") from error


def _below(folder: Path) -> Iterator[Path]:
    """Every file below a folder; one whose content cannot be listed is an error, not empty."""

    def refuse(error: OSError) -> None:
        raise error

    for place, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(place, name) for name in names)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value] if isinstance(value, list | tuple) else []


def _mappings(values: dict[str, Any], *keys: str) -> dict[str, dict[str, Any]]:
    found: Any = values
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return {str(k): v for k, v in found.items() if isinstance(v, dict)} if isinstance(found, dict) else {}


def targets_in(value: object) -> Iterator[Build]:
    """Every object that is to be built below a part, itself included, once each."""
    seen: set[int] = set()
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, Build):
            if id(one) in seen:
                continue
            seen.add(id(one))
            yield one
            left += [*one.arguments.values(), *one.positional]
        elif isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list | tuple):
            left += one
