"""The files of a bundle beside what was learned: configs, documents, and metadata that say how each part was made."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.bundle_configs import METADATA, read_metadata
from pipelines.hand_foot_scoring import BUNDLE
from pipelines.hand_foot_scoring.canvas import CANVAS, STRIDE
from pipelines.hand_foot_scoring.crops import CROP
from pipelines.hand_foot_scoring.heads import MAXIMUM, STATES, Loss
from pipelines.hand_foot_scoring.provenance import PIPELINE, TRAINING, PartRecord, Provenance, read_provenance
from pipelines.hand_foot_scoring.sites import SITE_CLASSES
from pipelines.lab.bundle_files import common_metadata, copy_configs, image_format, write_json
from pipelines.lab.options import readable

VERSION = "1.0.0"
CHANGES = {VERSION: "first in the form of a MONAI bundle"}
INTENDED_USE = "research only, not for clinical use"


def begin(folder: Path, loss: Loss) -> None:
    """Write configs, documents and metadata into a folder that is to be a bundle; its parts follow.

    Metadata that are there already keep what they say of the parts.

    Parameters
    ----------
    folder
        Of the bundle.
    loss
        That the damage heads are trained with.
    """
    (folder / "models").mkdir(parents=True, exist_ok=True)
    copy_configs(BUNDLE, folder, {"damage_def::loss": loss})
    if not (folder / METADATA).is_file():
        write_metadata(folder, Provenance({}))
    readable(folder)


def add_part(folder: Path, part: str, record: PartRecord) -> None:
    """Write how a part of a bundle was made into its metadata; what stands there of other parts stays."""
    before = read_provenance(folder).parts if (folder / METADATA).is_file() else {}
    write_metadata(folder, Provenance({**before, part: record}))
    readable(folder)


def write_metadata(folder: Path, provenance: Provenance) -> None:
    """Write the metadata, in the fields of MONAI's bundle specification and two of our own."""
    before = read_metadata(folder) if (folder / METADATA).is_file() else {}
    parts = provenance.parts
    metadata = {
        **common_metadata(),
        "name": "Sharp/van der Heijde scoring",
        "version": VERSION,
        "changelog": CHANGES,
        "task": "joint detection and Sharp/van der Heijde scores in radiographs of hands and feet",
        "description": "A localiser finds hands and feet with every joint that the score looks at; damage heads grade"
        " erosion and joint space narrowing of each from a crop.",
        "references": [
            "van der Heijde, J Rheumatol 2000;27:261-263",
            "Maziarz, arXiv 2021: local label smoothing",
        ],
        "data_source": provenance.data_source if parts else "nothing yet",
        "data_type": "DICOM, PNG, JPEG",
        "intended_use": before.get("intended_use", INTENDED_USE),
        "network_data_format": _localiser(),
        "damage_data_format": _damage(),
        "pipeline": PIPELINE,
        TRAINING: {name: asdict(parts[name]) for name in sorted(parts)},
    }
    write_json(folder / METADATA, metadata)


def _localiser() -> dict[str, Any]:
    classes = {0: "no joint", **{n: f"{part} {name}" for n, (part, name) in enumerate(SITE_CLASSES, start=1)}}
    shape = (CANVAS[0] // STRIDE, CANVAS[1] // STRIDE)
    picture = {0: "grey values between two of their percentiles, bone bright", 1: "local contrast"}
    return {
        "inputs": {"image": image_format(picture, CANVAS, modality="DX", value_range=(-1, 1))},
        "outputs": {"pred": image_format(classes, shape, modality="DX", kind="probabilities", form="classes")},
    }


def _damage() -> dict[str, Any]:
    grades = {head: {n: f"grade {n}" for n in range(top + 1)} for head, top in MAXIMUM.items()}
    state = dict(enumerate(STATES))
    place = {0: "class of the joint, as in the class map"}
    crop = {0: "grey values round a joint, left limbs as they are and right ones mirrored"}
    return {
        "inputs": {
            "image": image_format(crop, (CROP, CROP), modality="DX", value_range=(-1, 1)),
            "site": {**image_format(place, (), modality="n/a", kind="tuples", form="indices"), "dtype": "int64"},
        },
        "outputs": {
            name: image_format(channels, (), modality="DX", kind="probabilities", form="classes")
            for name, channels in (*grades.items(), ("state", state), ("plates", {0: "growth plates are open"}))
        },
    }
