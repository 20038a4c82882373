"""What the encoders' tests share: one way to encode."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_sr.findings import NotRun, Result
from dicom_sr.versions import earlier_version
from dicom_sr.write.encode import EncodedObject, EncodingProfile, encode
from pipelines.examples import REPORTING, makers

CREATED = datetime(2026, 11, 22, 14, 5, 6, tzinfo=UTC)
Encode = Callable[..., dict[str, list[Dataset]]]


@pytest.fixture
def encoded(tmp_path: Path) -> Encode:
    """Encodes a result and gives its data sets by kind."""

    def run(
        result: Result | NotRun,
        *kinds: str,
        profile: EncodingProfile | None = None,
        predecessors: tuple[EncodedObject, ...] = (),
    ) -> dict[str, list[Dataset]]:
        chosen = profile or EncodingProfile(kinds=kinds or EncodingProfile().kinds)  # type: ignore[arg-type]
        found: dict[str, list[Dataset]] = {}
        for one in encode(
            result, chosen, CREATED, tmp_path / "objects", earlier_version(len(predecessors), predecessors)
        ):
            found.setdefault(one.kind, []).append(pydicom.dcmread(one.path))
        return found

    return run


@pytest.fixture(scope="session")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """What goes to reporting of every example: files by the example's name and their kind."""
    folder = tmp_path_factory.mktemp("reporting")
    written: dict[str, dict[str, Path]] = {}
    for name, make in makers().items():
        result = make(folder / name / "source").result
        written[name] = {
            one.kind: one.path for one in encode(result, REPORTING, CREATED, folder / name / "made", job=f"job-{name}")
        }
    return written
