"""A real Orthanc that holds one example result of every pipeline, and one of every kind, for viewers to open."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from dicom_sr.write.encode import encode
from pipelines.example import CREATED
from pipelines.examples import PROFILE
from pipelines.knee_super_resolution.example import example as knee_example
from tests.browser import difference, kept_picture
from tests.dicom_sr import every_kind
from tests.needs import missing
from tests.orthanc import Archive, OrthancMissing

ROOT = Path(__file__).resolve().parents[2]
KNEE = "knee_super_resolution"
PICTURES = ROOT / "docs" / "pictures"
# Share of blocks that may look different: text is smoothed otherwise by another Chromium, a picture never is so much
TOLERANCE = 0.06


@dataclass(frozen=True)
class Examples:
    """Where the examples are in the archive."""

    archive: Archive
    studies: dict[str, str]  # StudyInstanceUID by the name of the example
    series_numbers: dict[tuple[str, str], str]  # by example and SOP class name; of several the lowest

    def orthanc_series(self, example: str, sop_class: str) -> str:
        """Orthanc's ID of a series."""
        number = self.series_numbers[example, sop_class]
        query = {"StudyInstanceUID": self.studies[example], "SeriesNumber": number}
        return str(self.archive.find_tags("Series", **query)[0]["ID"])


@pytest.fixture(scope="package")
def examples(tmp_path_factory: pytest.TempPathFactory, examples_folder: Path) -> Iterator[Examples]:
    folder = tmp_path_factory.mktemp("examples")
    for path in examples_folder.glob("*/"):
        if path.name != KNEE:
            shutil.copytree(path, folder / path.name)
    # one echo instead of two: OHIF takes a series of several echoes for a volume over time; to draw that in software
    # (WebGL without a GPU) costs Chromium its graphics context
    knee = knee_example(folder / KNEE / "source", echo_times_ms=(12.0,))
    more = every_kind.every_kind(folder / every_kind.NAME / "source")
    for name, made in ((KNEE, knee), (every_kind.NAME, more)):
        encode(made.result, PROFILE, CREATED, folder / name / "result")
    try:
        archive = Archive(tmp_path_factory.mktemp("viewers"), plugins=("DicomWeb", "WebViewer"))
    except OrthancMissing as error:
        missing(str(error))
    studies: dict[str, str] = {}
    numbers: dict[tuple[str, str], str] = {}
    with archive:
        for path in sorted(folder.glob("*/*/*.dcm")):
            archive.upload(path)
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            example = path.parent.parent.name
            studies[example] = str(ds.StudyInstanceUID)
            if path.parent.name == "result":
                key = example, ds.SOPClassUID.name
                number = int(ds.SeriesNumber)
                numbers[key] = str(min(number, int(numbers.get(key, number))))
        yield Examples(archive, studies, numbers)


@pytest.fixture(scope="package")
def ohif_dist() -> Path:
    """OHIF's built viewer, which `make test` fetches by npm."""
    found = sorted((ROOT / ".cache").glob("ohif-*/index.html"))
    if not found:
        missing("OHIF is not in .cache: `make test` fetches it where npm is installed")
    return found[-1].parent


def hold_to_picture(screenshot: bytes, name: str, tmp_path: Path, width: int = 640) -> None:
    """Compare a screenshot with the one that the documentation shows; where there is none yet, keep it (not in CI)."""
    baseline = PICTURES / f"{name}.jpg"
    if not baseline.exists() and os.environ.get("CI") == "true":
        pytest.fail(f"docs/pictures/{name}.jpg is not in the repository")
    (tmp_path / f"{name}.png").write_bytes(screenshot)
    share = difference(kept_picture(screenshot, baseline, width), baseline)
    assert share <= TOLERANCE, (
        f"{share:.0%} of the picture differs from docs/pictures/{name}.jpg; see {tmp_path}/{name}.png. "
        "If it is meant to, delete the old picture, run this test again and look at the new one."
    )
