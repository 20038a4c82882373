from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_sr.profile import DEFAULT_KINDS, DICOM_KINDS, EncodingProfile, Kind
from dicom_sr.write.encode import EncodedObject, encode
from pipelines.example import CREATED, Example
from tests.dicom_sr import validators
from tests.dicom_sr.every_kind import every_kind

WITHOUT_SEGMENTATIONS = tuple(kind for kind in DEFAULT_KINDS if not kind.startswith("segmentation"))
PROFILES: dict[str, tuple[Kind, ...]] = {
    "everything": DICOM_KINDS,
    "default": DEFAULT_KINDS,
    "no segmentations": WITHOUT_SEGMENTATIONS,
    "no derived series": tuple(kind for kind in DEFAULT_KINDS if kind != "derived_series"),
    "captures and reports": ("secondary_capture", "report"),
    "reports": ("report",),
    "label maps": ("derived_series", "segmentation_labelmap", "report"),
}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return every_kind(tmp_path_factory.mktemp("every") / "source", (6, 64, 64))


def written(example: Example, kinds: tuple[Kind, ...], folder: Path) -> tuple[EncodedObject, ...]:
    return encode(example.result, EncodingProfile(kinds=kinds), CREATED, folder)


def named(ds: Dataset) -> Iterator[str]:
    """SOPInstanceUIDs that the content tree refers to."""
    for item in ds.get("ContentSequence", ()):
        if item.ValueType in ("IMAGE", "COMPOSITE"):
            yield str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        yield from named(item)


def evidence(ds: Dataset) -> set[str]:
    return {
        str(item.ReferencedSOPInstanceUID)
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_a_report_refers_to_every_object_that_goes_with_it_and_to_nothing_else(
    tmp_path: Path, example: Example, profile: str
) -> None:
    objects = written(example, PROFILES[profile], tmp_path / "objects")
    sources = {one.sop_instance_uid for one in example.study.instances}
    with_it = {one.sop_instance_uid for one in objects if one.kind != "report"}
    twins = {one.sop_instance_uid for one in objects if one.kind == "segmentation_labelmap"}
    for one in (one for one in objects if one.kind == "report"):
        ds = pydicom.dcmread(one.path)
        assert evidence(ds) == sources | with_it
        # a label map beside its binary twin is left to the evidence: older DCMTK reads no report that shows it
        assert set(named(ds)) == sources | (with_it - twins if "segmentation_binary" in PROFILES[profile] else with_it)


@pytest.mark.validators
@pytest.mark.parametrize("profile", PROFILES)
def test_every_reference_resolves_at_a_destination_of_any_profile(
    tmp_path: Path, example: Example, profile: str
) -> None:
    written(example, PROFILES[profile], tmp_path / "objects")
    files = [*(one.path for one in example.study.instances), *sorted((tmp_path / "objects").iterdir())]
    assert validators.dcentvfy(files)[0] == []


def test_a_report_for_other_kinds_is_another_report_and_all_else_is_the_same(tmp_path: Path, example: Example) -> None:
    known: dict[str, str] = {}
    reports = []
    for profile, kinds in PROFILES.items():
        for one in written(example, kinds, tmp_path / profile):
            assert known.setdefault(one.sop_instance_uid, one.sha256) == one.sha256, (profile, one.kind)
            if one.kind == "report":
                reports.append(one.sop_instance_uid)
    assert len(set(reports)) == len(reports) == 2 * len(PROFILES)
