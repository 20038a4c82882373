"""What an example result is made of; see `pipelines.examples` for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dicom_sr.findings import Model, NotRun, Result
from dicom_sr.series import Study, read_studies
from pipelines.context import ClinicalContext

CREATED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
VERSION = "0.0-example"
SIMULATED = "example with simulated content, made by formula and not by a model"


@dataclass(frozen=True)
class Example:
    """A simulated study on disk, and the result that stands on it."""

    study: Study
    result: Result | NotRun
    context: ClinicalContext | None = None  # the record that it stands on, of a pipeline that wants one


def made_up_model(name: str, series_base: int | None = None) -> Model:
    """What stands in an example in place of a model: its digests are of weights and settings that do not exist."""
    weights, settings = (hashlib.sha256(f"example {what}".encode()).hexdigest() for what in ("weights", "settings"))
    return Model(name, VERSION, weights, SIMULATED, settings, series_base)


def only_study(paths: Iterable[Path]) -> Study:
    """The study that the files make up.

    Raises
    ------
    ValueError
        If they are of several studies.
    """
    (study,) = read_studies(paths)
    return study
