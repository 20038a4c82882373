from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_sr.profile import DICOM_KINDS, EncodedObject, EncodingProfile
from dicom_sr.versions import IN_ONE_SERIES, OF_SERIES, Earlier, earlier_version, series_of
from dicom_sr.write.encode import encode
from pipelines.example import CREATED, Example
from tests.dicom_sr import every_kind, validators

IMAGES = ("derived_series", "secondary_capture", "parametric_map")
Objects = tuple[EncodedObject, ...]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("versions")


@pytest.fixture(scope="module")
def example(folder: Path) -> Example:
    return every_kind.every_kind(folder / "source", (6, 64, 64))


def encoded(
    example: Example, folder: Path, number: int, before: Objects = (), kinds: tuple[str, ...] = DICOM_KINDS
) -> Objects:
    """Version `number` of the result, a minute after the one before."""
    jobs = [f"j{n}" for n in range(number, 0, -1)]
    when: datetime = CREATED + timedelta(minutes=number)
    profile = EncodingProfile(kinds=kinds)  # type: ignore[arg-type]
    return encode(example.result, profile, when, folder, earlier_version(number - 1, before), jobs[0], jobs[1:])


@pytest.fixture(scope="module")
def versions(example: Example, folder: Path) -> list[Objects]:
    made: list[Objects] = [()]
    for number in (1, 2, 3):
        made.append(encoded(example, folder / f"version-{number}", number, made[-1]))
    return made[1:]


def headers(objects: Objects, *kinds: str) -> dict[str, Dataset]:
    """By name of the series."""
    chosen = [one for one in objects if one.kind in kinds]
    return {series_of(one.kind, one.sop_class_uid): pydicom.dcmread(one.path) for one in chosen}


def test_documents_and_overlays_of_all_versions_lie_in_one_series_and_the_newest_has_the_highest_number(
    versions: list[Objects],
) -> None:
    found = [headers(objects, *IN_ONE_SERIES) for objects in versions]
    assert found[0].keys() >= {"report", "report_comprehensive", "key_objects", "segmentation_binary"}
    for name in found[0]:
        first, second, third = (one[name] for one in found)
        assert first.SeriesInstanceUID == second.SeriesInstanceUID == third.SeriesInstanceUID, name
        numbers = [int(ds.InstanceNumber) for ds in (first, second, third)]
        assert numbers == ([1, 1001, 2001] if name.startswith("segmentation") else [1, 2, 3]), name
        for keyword in OF_SERIES:
            assert first.get(keyword) == second.get(keyword) == third.get(keyword), (name, keyword)
        assert first.ContentTime < second.ContentTime, name


def test_images_of_each_version_are_a_series_of_their_own_that_says_so(versions: list[Objects]) -> None:
    found = [headers(objects, *IMAGES) for objects in versions]
    for name in IMAGES:
        described = [str(one[name].SeriesDescription) for one in found]
        assert [text.endswith(f"version {n}") for n, text in enumerate(described, 1)] == [False, True, True], name
        assert len({str(one[name].SeriesInstanceUID) for one in found}) == len(versions), name


def test_each_report_names_the_one_before_and_says_which_version_it_is(versions: list[Objects]) -> None:
    first, second, third = (headers(objects, "report")["report"] for objects in versions)
    assert "PredecessorDocumentsSequence" not in first
    assert str(first.SOPInstanceUID) in str(second.PredecessorDocumentsSequence)
    assert str(second.SOPInstanceUID) in str(third.PredecessorDocumentsSequence)
    assert str(first.SOPInstanceUID) not in str(third.PredecessorDocumentsSequence)
    texts = [str(item.get("TextValue")) for item in third.ContentSequence]
    assert "Version 3 of this result. It takes the place of the earlier one." in texts


def test_the_same_version_has_the_same_bytes_and_no_uid_of_another(
    example: Example, versions: list[Objects], tmp_path: Path
) -> None:
    again = encoded(example, tmp_path, 2, versions[0])
    assert [one.sha256 for one in again] == [one.sha256 for one in versions[1]]
    uids = [one.sop_instance_uid for objects in versions for one in objects]
    assert len(uids) == len(set(uids))


def test_a_destination_that_has_another_earlier_version_gets_other_objects(
    example: Example, versions: list[Objects], tmp_path: Path
) -> None:
    """Not the same ones in another series, which no archive could tell apart."""
    other = encoded(example, tmp_path / "first", 1, kinds=("report", "secondary_capture"))
    assert {one.kind: one.series_instance_uid for one in other}["report"] not in {
        one.series_instance_uid for one in versions[0]
    }
    second = encoded(example, tmp_path / "second", 2, other)
    known = {one.sop_instance_uid: one.sha256 for one in versions[1]}
    assert all(known.get(one.sop_instance_uid, one.sha256) == one.sha256 for one in second)
    assert {one.kind for one in second if one.sop_instance_uid in known} == set(IMAGES)


def test_where_the_earlier_files_are_gone_a_version_is_a_series_of_its_own(example: Example, tmp_path: Path) -> None:
    first = encoded(example, tmp_path / "first", 1, kinds=("report",))
    for one in first:
        one.path.unlink()
    assert earlier_version(1, first) == Earlier(1, first)
    second = encoded(example, tmp_path / "second", 2, first, kinds=("report",))
    report = headers(second, "report")["report"]
    assert report.InstanceNumber == 2
    assert "PredecessorDocumentsSequence" in report
    assert not {one.series_instance_uid for one in first} & {one.series_instance_uid for one in second}


@pytest.mark.validators
def test_no_validator_finds_an_error_in_the_versions_beside_each_other(versions: list[Objects], folder: Path) -> None:
    for kind in IN_ONE_SERIES:
        for one in (one for one in versions[2] if one.kind == kind):
            assert validators.dciodvfy(one.path) == ([], []), one.path.name
    assert validators.dcentvfy(validators.all_files([folder])) == ([], [])
