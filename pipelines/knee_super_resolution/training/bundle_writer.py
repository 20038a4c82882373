"""What a training leaves behind: a MONAI bundle, whose metadata say what it was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from pipelines.bundle_configs import METADATA
from pipelines.knee_super_resolution import BUNDLE, DEEPRESOLVE_BUNDLE
from pipelines.knee_super_resolution.deepresolve import STEM
from pipelines.knee_super_resolution.training.corpus import Corpus
from pipelines.knee_super_resolution.training.plan import Plan
from pipelines.lab.bundle_files import common_metadata, copy_configs, image_format, write_json
from pipelines.lab.options import readable

MODELS = "models"
TASK = "through-plane super-resolution of knee MR"
VERSION = "1.0.0"
CHANGES = {VERSION: "first in the form of a MONAI bundle"}
DESCRIPTIONS = {
    "learned": "Thin slices and the standard deviation of each voxel from thick slices of any ratio from 1.5 to 8.",
    "deepresolve": "Thin slices from thick slices by DeepResolve (Chaudhari 2018, doi 10.1002/mrm.27178), one network"
    " for each ratio.",
}


def save_weights(network: nn.Module, plan: Plan, output: Path) -> Path:
    """Write the weights as safetensors; those of the published network in half precision, so as to stay small.

    Parameters
    ----------
    network, plan
        What was trained, and how.
    output
        Folder of the bundle.
    """
    kind = torch.float32 if plan.method == "learned" else torch.bfloat16
    path = output / MODELS / f"{stem(plan)}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    save_file({name: value.to(kind).contiguous() for name, value in network.state_dict().items()}, partial)
    partial.replace(path)
    return path


def save_calibration(factors: Mapping[str, float], output: Path) -> None:
    """Write the factors from spread to standard deviation, by ratio."""
    write_json(output / MODELS / "calibration.json", factors)


def stem(plan: Plan) -> str:
    """The name of the file that a plan's weights go to, without its suffix."""
    return "model" if plan.method == "learned" else f"{STEM}{plan.factor:g}"


def write_description(method: str, corpus: Corpus, trainings: Mapping[str, Mapping[str, Any]], output: Path) -> None:
    """Write configs and metadata beside the weights, for every account to read.

    Parameters
    ----------
    method
        learned or deepresolve.
    corpus
        What was learned from.
    trainings
        Facts of each training, by the name of its file of weights without the suffix.
    output
        Folder of the bundle.
    """
    source, _, use = corpus.sentence().removeprefix("trained on ").partition("; ")
    shipped, changed = DEEPRESOLVE_BUNDLE, {}
    if method == "learned":
        plan = trainings["model"]["plan"]
        shipped, changed = BUNDLE, {f"network_def::{name}": plan[name] for name in ("channels", "blocks")}
    write_metadata(method, source, use, trainings, output)
    if output != shipped:
        copy_configs(shipped, output, changed)
    readable(output)


def write_metadata(
    method: str, source: str, use: str, trainings: Mapping[str, Mapping[str, Any]], output: Path
) -> None:
    """Write the metadata.

    Parameters
    ----------
    method
        learned or deepresolve.
    source, use
        What was trained on, and what the model may be used for.
    trainings
        Facts of each training, by the name of its file of weights without the suffix.
    output
        Folder of the bundle.
    """
    spread = {1: "standard deviation of the voxel"} if method == "learned" else {}
    metadata = {
        **common_metadata(),
        "version": VERSION,
        "changelog": CHANGES,
        "task": TASK,
        "description": DESCRIPTIONS[method],
        "data_source": source,
        "data_type": "simulated volumes, DICOM, NIfTI",
        "intended_use": use,
        "network_data_format": {
            "inputs": {"image": image_format({0: INPUTS[method]}, ("*", "*", "*"), modality="MR", value_range=(0, 1))},
            "outputs": {"pred": image_format({0: "thin slices"} | spread, ("*", "*", "*"), modality="MR")},
        },
        "weights_sha256": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((output / MODELS).glob("*"))
        },
        "training": trainings,
    }
    write_json(output / METADATA, metadata)


INPUTS = {
    "learned": "acquired slices over their 99.9th percentile, slices first",
    "deepresolve": "acquired slices over their 99.9th percentile, interpolated to the thin ones by a cubic spline",
}
