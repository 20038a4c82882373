"""A pipeline's own MONAI bundle: what it says of itself, and the objects that its configs build.

A bundle is a folder with ``configs`` (what it is and how it is run), ``models`` (what was learned) and ``docs``. The
one that ships with a pipeline is trusted. One that a site trained may differ from it in what was learned and in plain
values: a config that calls anything else is refused, so that nothing in a folder from elsewhere is executed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.bundle import bundle_digest, files_in

if TYPE_CHECKING:
    from monai.bundle import ConfigParser
    from torch import nn

METADATA, INFERENCE = "configs/metadata.json", "configs/inference.json"
LEARNED = "models/*"
CALLED = ("_target_", "_mode_", "_requires_", "_imports_")  # keys that say what is called
MARKS = ("$", "@", "%")  # of an expression, a reference, a text that is put in


class UnusableBundle(ValueError):
    """The folder is no bundle that this pipeline can run; the message names the file and says why."""


def read_metadata(bundle: Path) -> Mapping[str, Any]:
    """What a bundle says of itself, in the fields of MONAI's bundle specification.

    Raises
    ------
    UnusableBundle
        If it has no such file, or the file is not JSON with an object in it.
    """
    path = bundle / METADATA
    return _read(path, _stamp(path))


def trained_on(bundle: Path) -> str:
    """The sentence on what a bundle was trained on and what it may be used for, for a report.

    It is made of `data_source` and `intended_use` of the metadata.

    Raises
    ------
    UnusableBundle
        If the metadata do not say so.
    """
    metadata = read_metadata(bundle)
    try:
        source, use = str(metadata["data_source"]), str(metadata["intended_use"])
    except KeyError as error:
        raise UnusableBundle(f"{bundle / METADATA}: lacks {error.args[0]}") from None
    return f"trained on {source}; {use}"


def inference_digest(bundle: Path) -> str:
    """SHA-256, hex, over every file of a bundle that inference reads: metadata, inference config, what was learned.

    Raises
    ------
    UnusableBundle
        If one is missing.
    """
    try:
        return bundle_digest(files_in(bundle, METADATA, INFERENCE, LEARNED))
    except FileNotFoundError as error:
        raise UnusableBundle(str(error)) from None


def parser(bundle: Path, shipped: Path, **overrides: object) -> ConfigParser:
    """The parser of a bundle's inference config: what is asked of it is built, and nothing else.

    Parameters
    ----------
    bundle
        The folder.
    shipped
        The bundle that ships with the pipeline, which says what may be called.
    **overrides
        Values in place of the config's, such as `device`.

    Raises
    ------
    UnusableBundle
        If a file is missing, or the config calls what the shipped one does not.
    """
    config = read_config(bundle, shipped)
    from monai.bundle import ConfigParser  # seconds to import, so not before a network is loaded

    found = ConfigParser(deepcopy(dict(config)))
    for name, value in {"bundle_root": str(bundle), **overrides}.items():
        found[name] = value
    return found


def read_config(bundle: Path, shipped: Path) -> Mapping[str, Any]:
    """The inference config of a bundle, which calls nothing that the shipped one does not; builds nothing.

    Raises
    ------
    UnusableBundle
        If it is missing or is no JSON object, or calls anything else.
    """
    path = bundle / INFERENCE
    config = _read(path, _stamp(path))
    if bundle != shipped:
        allowed = read_config(shipped, shipped)
        own, theirs = dict(_calls("", config)), dict(_calls("", allowed))
        for place, call in own.items():
            if theirs.get(place) != call:
                raise UnusableBundle(
                    f"{path}: {place} is {call!r}, which the shipped bundle does not call; a bundle of a site's own may"
                    " differ from it in weights and plain values"
                )
        if missing := sorted(theirs.keys() - own.keys()):
            raise UnusableBundle(f"{path}: lacks {missing[0]}; train the bundle again with this version")
    return config


def with_weights(network: nn.Module, path: str | Path) -> nn.Module:
    """The network with the weights of a safetensors file, ready for inference; for a config's `network`."""
    from safetensors.torch import load_file

    network.load_state_dict(load_file(path))
    return network.eval()


def _calls(place: str, value: object) -> Iterator[tuple[str, str]]:
    """Place and text of everything in a config that would be looked up or executed."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            below = f"{place}::{key}" if place else str(key)
            if key in CALLED or str(key).startswith(MARKS) or "::" in str(key):
                yield below, json.dumps(inner)
            else:
                yield from _calls(below, inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _calls(f"{place}::{number}", inner)
    elif isinstance(value, str) and any(mark in value for mark in MARKS):
        yield place, value


def _stamp(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError as error:
        raise UnusableBundle(f"{path}: cannot be read: {error.strerror}") from None
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=64)
def _read(path: Path, _state: tuple[int, int]) -> Mapping[str, Any]:
    """A JSON file, read again only after it has changed: the model of a route is asked for with every series."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnusableBundle(f"{path}: is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise UnusableBundle(f"{path}: should hold an object")
    return found
