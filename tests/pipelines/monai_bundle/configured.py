"""Bundles as the configuration names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dicom_sr.series import Study, read_studies
from pipelines.base import Pipeline
from pipelines.monai_bundle.folder import BundleFolder
from pipelines.registry import pipeline_type

SPLEEN = {"kind": "segmentation", "segments": {"spleen": {"type": ["SCT", "78961009", "Spleen"], "side": "U"}}}


def settings(folder: Path, output: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The entry of a bundle for one CT, with the digest that it has now."""
    entry = {"path": str(folder), "sha256": BundleFolder(folder).digest, "inputs": {"image": {"Modality": "CT"}}}
    return {**entry, "output": output or SPLEEN, **more}


def pipeline(entry: dict[str, Any], name: str = "spleen") -> Pipeline:
    """The pipeline of that entry."""
    kind = pipeline_type(f"bundle:{name}")
    return kind(kind.settings_type(**entry))


def study_of(paths: list[Path]) -> Study:
    """The only study of these files."""
    (study,) = read_studies(paths)
    return study
