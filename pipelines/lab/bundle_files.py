"""The files of a MONAI bundle beside its weights, written by a training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

# what `python -m monai.bundle verify_metadata` fetches
RELEASES = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download"
SCHEMA = f"{RELEASES}/0.8.1/meta_schema_20240725.json"
REQUIRED = ("condyle", "safetensors")
CONFIGS, DOCS = "configs", "docs"
METADATA = "metadata.json"


def common_metadata() -> dict[str, Any]:
    """The fields of the metadata that say by what a bundle was made, in the words of MONAI's specification."""
    return {
        "schema": SCHEMA,
        "monai_version": _release("monai"),
        "pytorch_version": _release("torch"),
        "numpy_version": _release("numpy"),
        "required_packages_version": {name: _release(name) for name in REQUIRED},
        "authors": "the authors of Condyle",
        "copyright": "Copyright (c) the authors of Condyle, Apache License 2.0",
    }


def image_format(
    channels: Mapping[int, str],
    spatial_shape: tuple[int | str, ...],
    *,
    modality: str,
    kind: str = "image",
    form: str = "magnitude",
    value_range: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """What goes into a network or comes out of it, as `network_data_format` has it; float32.

    Parameters
    ----------
    channels
        What each channel holds.
    spatial_shape
        Numbers, or expressions such as ``"*"`` for any.
    modality
        As in DICOM.
    kind, form
        `type` and `format` of the specification.
    value_range
        Where it is known.
    """
    return {
        "type": kind,
        "format": form,
        "modality": modality,
        "num_channels": len(channels),
        "spatial_shape": list(spatial_shape),
        "dtype": "float32",
        "value_range": list(value_range or ()),
        "is_patch_data": False,
        "channel_def": {str(number): words for number, words in channels.items()},
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in a folder that need not exist yet; a reader finds the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def copy_configs(shipped: Path, bundle: Path, changed: Mapping[str, Any]) -> None:
    """Copy configs and documents of the bundle that ships with a pipeline, all but the metadata.

    Parameters
    ----------
    shipped, bundle
        From and to.
    changed
        Plain values in place of the shipped ones, by their place in any of the configs, such as
        ``network_def::channels``; a config that has no such place keeps what it has.
    """
    for path in sorted((shipped / CONFIGS).glob("*.json")):
        if path.name == METADATA:
            continue
        config = json.loads(path.read_text(encoding="utf-8"))
        for place, value in changed.items():
            *way, last = place.split("::")
            inner = config
            for key in way:
                inner = inner.get(key, {})
            if last in inner:
                inner[last] = value
        write_json(bundle / CONFIGS / path.name, config)
    (bundle / DOCS).mkdir(exist_ok=True)
    for path in sorted((shipped / DOCS).glob("*")):
        shutil.copyfile(path, bundle / DOCS / path.name)


def _release(package: str) -> str:
    """The version of a package without what tells one build from another."""
    return version(package).split("+")[0]
