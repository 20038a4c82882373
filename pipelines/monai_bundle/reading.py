"""A bundle's configuration read statically: references and expressions resolved, nothing built and nothing run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from pipelines.bundle import BundleError
from pipelines.monai_bundle.expressions import REFERENCE, NotUnderstood, references, value_of
from pipelines.monai_bundle.parts import Build, Call, Device, Unread
from pipelines.monai_bundle.targets import DETECTOR_CALLER, LEFT_OUT, known_name

SEPARATOR = "::"
ROOMS = ("configs", "models", "scripts")  # the folders of a bundle that a result may follow from, all in its digest
LARGEST_FILE = 8 * 2**20  # bytes
LARGEST_TREE = 200_000  # nodes
DEEPEST_TREE = 60
_OF_MONAI = {"_target_", "_disabled_", "_requires_", "_desc_", "_mode_"}
_DISABLED = object()
_GPU = re.compile(r"cuda(:\d+)?")


class UnreadableBundle(BundleError, ValueError):
    """A bundle lacks what it needs, or a file of it cannot be read; the message says what to do."""


def load_file(path: Path) -> Any:
    """The content of a JSON or YAML file as plain values.

    Raises
    ------
    UnreadableBundle
        If it cannot be read.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UnreadableBundle(f"{path}: is larger than {LARGEST_FILE} bytes")
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        _refuse_too_large(values)
    except OSError as error:
        raise UnreadableBundle(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UnreadableBundle(f"{path}: is no valid {path.suffix.lstrip('.').upper()}: {error}") from error
    return values


def _refuse_too_large(values: Any) -> None:
    """Refuse a tree that grows when it is walked, as aliases of YAML let it."""
    count, left = 0, [(values, 0)]
    while left:
        value, depth = left.pop()
        count += 1
        if count > LARGEST_TREE or depth > DEEPEST_TREE:
            raise ValueError("holds too much, or is nested too deep")
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        left += [(one, depth + 1) for one in inner]


def in_rooms(folder: Path, path: str | Path) -> Path | None:
    """The path to a file in one of the `ROOMS` of a bundle, with links followed; None where it lies elsewhere."""
    try:
        whole, home = Path(folder, path).resolve(), folder.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, or a name that no file can have
        return None
    inside = whole.is_relative_to(home) and whole.relative_to(home).parts[:1]
    return whole if inside and inside[0] in ROOMS else None


class Reader:
    """The parts of one configuration by their names; each is read once, so what is referred to twice is one object.

    Parameters
    ----------
    values
        The configuration as plain values.
    folder
        Of the bundle: what ``@bundle_root`` stands for.
    """

    def __init__(self, values: dict[str, Any], folder: Path) -> None:
        self._values = {**values, "bundle_root": str(folder)}
        self._folder = folder
        self._read: dict[str, Any] = {}
        self._sizes: dict[int, int] = {}  # by identity of what was read
        self._under_way: list[str] = []
        self.unread: dict[str, Unread] = {}  # by place: what is not understood of all that was asked for
        self.left_out: dict[str, str] = {}  # by place: targets that the pipeline does without, as its own take over

    def has(self, name: str) -> bool:
        """Whether the configuration has a part of that name."""
        try:
            self._raw(name)
        except NotUnderstood:
            return False
        return True

    def part(self, name: str) -> Any:
        """The part of that name; what is not understood is added to `unread` and is None."""
        value = self._guarded(lambda: self._referred(name), name, self._shown(name))
        return None if value is _DISABLED else value

    def _shown(self, name: str) -> str:
        raw = self.raw(name)
        return _told(raw) if raw is not None else f"@{name}"

    def raw(self, name: str) -> Any:
        """The part of that name as it stands in the file; None where there is none."""
        try:
            return self._raw(name)
        except NotUnderstood:
            return None

    def _guarded(self, read: Any, where: str, text: str) -> Any:
        try:
            return read()
        except NotUnderstood as error:
            why = str(error)
        except RecursionError:
            why = "is nested too deep"
        self.unread.setdefault(where, Unread(where, text, why))
        return None

    def _raw(self, name: str, depth: int = 0) -> Any:
        found: Any = self._values
        for part in name.split(SEPARATOR):
            if isinstance(found, str) and REFERENCE.fullmatch(found) and depth < DEEPEST_TREE:
                found = self._raw(references(found)[0], depth + 1)
            if isinstance(found, dict) and part in found:
                found = found[part]
            elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            else:
                raise NotUnderstood(f"refers to {name}, which is not there")
        return found

    def _referred(self, name: str) -> Any:
        if name in self._read:
            return self._read[name]
        if name in self._under_way:
            raise NotUnderstood(f"refers to itself by {name}")
        if len(self._under_way) > DEEPEST_TREE:
            raise NotUnderstood("refers too deep")
        self._under_way.append(name)
        try:
            value = self._value(self._raw(name), name)
        finally:
            self._under_way.pop()
        self._read[name] = value
        return value

    def _value(self, raw: Any, where: str) -> Any:
        if where in self._read:
            return self._read[where]
        if isinstance(raw, dict):
            value = self._object(raw, where) if "_target_" in raw else self._mapping(raw, where)
        elif isinstance(raw, list):
            items = [self._inner(one, f"{where}{SEPARATOR}{i}") for i, one in enumerate(raw)]
            value = [one for one in items if one is not _DISABLED]
        elif isinstance(raw, str):
            value = self._text(raw, where)
        else:
            value = raw
        if (size := self._size(value)) > LARGEST_TREE:
            raise NotUnderstood("holds too much")
        self._read[where], self._sizes[id(value)] = value, size
        return value

    def _size(self, value: Any) -> int:
        """How many objects a value holds; one that stands in it many times counts as often."""
        if isinstance(value, Build):
            inner = [*value.arguments.values(), *value.positional]
        else:
            inner = list(
                value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            )
        if not inner:
            return 1
        return self._sizes.get(id(value)) or 1 + sum(map(self._size, inner))

    def _inner(self, raw: Any, where: str) -> Any:
        """What lies below a part: one mistake does not keep the others from being found."""
        return self._guarded(lambda: self._value(raw, where), where, _told(raw))

    def _mapping(self, raw: dict[str, Any], where: str) -> dict[str, Any]:
        items = {key: self._inner(value, f"{where}{SEPARATOR}{key}") for key, value in raw.items()}
        return {key: value for key, value in items.items() if value is not _DISABLED}

    def _object(self, raw: dict[str, Any], where: str) -> Any:
        disabled = self._value(raw.get("_disabled_", False), f"{where}{SEPARATOR}_disabled_")
        if disabled is True or (isinstance(disabled, str) and disabled.strip().lower() == "true"):
            return _DISABLED
        target = raw["_target_"]
        if not isinstance(target, str):
            raise NotUnderstood("its _target_ is no text")
        name = known_name(target)
        if name in LEFT_OUT:
            self.left_out[where] = target
            return _DISABLED
        if raw.get("_mode_", "default") != "default":
            raise NotUnderstood(f"the _mode_ {raw['_mode_']} is not understood")
        arguments = self._mapping({key: value for key, value in raw.items() if key not in _OF_MONAI}, where)
        made = Build(target, where, arguments)
        self._read[where] = made
        for index, one in enumerate(self._listed(raw.get("_requires_"), f"{where}{SEPARATOR}_requires_")):
            if not isinstance(one, Call):
                raise NotUnderstood(f"its _requires_ {index} is no call that can be read")
        if target == DETECTOR_CALLER and isinstance(arguments.get("detector"), Build):
            self.left_out[where] = target
            return made
        if name is None:
            raise NotUnderstood(f"{target} is not on the list of what may be built")
        return made

    def _listed(self, raw: Any, where: str) -> list[Any]:
        if raw is None:
            return []
        value = self._value(raw, where)
        return list(value) if isinstance(value, list | tuple) else [value]

    def _text(self, text: str, where: str) -> Any:
        if text.startswith("$"):
            value = value_of(text[1:], self._referred_here, where)
            if isinstance(value, Call) and value not in value.of.afterwards:
                value.of.afterwards.append(value)
            return value
        if text.startswith("%"):
            return self._macro(text[1:], where)
        if REFERENCE.fullmatch(text):
            return self._referred_here(references(text)[0])
        return Device() if _GPU.fullmatch(text) else text

    def _referred_here(self, name: str) -> Any:
        value = self._referred(name)
        if value is _DISABLED:
            raise NotUnderstood(f"refers to {name}, which is switched off")
        return value

    def _macro(self, name: str, where: str) -> Any:
        file, _, inner = name.partition(SEPARATOR)
        if Path(file).suffix not in (".json", ".yaml", ".yml"):
            return self._value(self._raw(name.replace("#", SEPARATOR)), where)
        if (path := in_rooms(self._folder, file)) is None:
            raise NotUnderstood(f"names a file that is not in the bundle's {', '.join(ROOMS)}")
        try:
            values: Any = load_file(path)
        except UnreadableBundle as error:
            raise NotUnderstood(str(error)) from error
        for part in filter(None, inner.split(SEPARATOR)):
            if not isinstance(values, dict) or part not in values:
                raise NotUnderstood(f"{file} has no {inner}")
            values = values[part]
        return self._value(values, where)


def _told(raw: Any) -> str:
    """What stands at a place, for a message."""
    if isinstance(raw, dict):
        return f"_target_ {raw['_target_']}" if "_target_" in raw else "a mapping"
    return raw if isinstance(raw, str) else str(raw)[:60]
