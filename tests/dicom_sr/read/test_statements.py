"""Reports of any make are read as far as they may be believed; what is damaged or endless is refused in a sentence."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from dicom_sr.errors import UnsuitableInput
from dicom_sr.profile import EncodingProfile
from dicom_sr.read import statements
from dicom_sr.read.statements import document_in
from dicom_sr.write.encode import encode
from dicom_sr.write.sr_document import container
from pipelines.example import CREATED
from tests.factories import joint_result, radiograph_study
from tests.workstation import content_of, edited, groups, named


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder: Path = tmp_path_factory.mktemp("report")
    result = joint_result(radiograph_study(folder / "in"))
    return pydicom.dcmread(encode(result, EncodingProfile(kinds=("report",)), CREATED, folder / "out")[0].path)


def test_a_group_has_what_stands_in_containers_below_it(report: Dataset) -> None:
    def nest(copy: Dataset) -> None:
        (group,) = groups(copy)
        numbers = [item for item in group.ContentSequence if item.ValueType == "NUM"]
        rest = [item for item in group.ContentSequence if item.ValueType != "NUM"]
        group.ContentSequence = [*rest, container(standard.DCM.ImagingMeasurements, numbers)]

    (plain,) = document_in(content_of(report), ()).groups
    (nested,) = document_in(content_of(edited(report, nest)), ()).groups
    assert nested.numbers == plain.numbers
    assert len(plain.numbers) == 2
    assert (plain.tracking_id, plain.site and plain.site.value) == ("SvH L MCP2", "SITE-MCP2")


def deep(copy: Dataset) -> None:
    inner = named(copy, "126010")[0]
    for _ in range(statements.DEEPEST + 2):
        inner = container(standard.DCM.ImagingMeasurements, [inner])
    copy.ContentSequence.append(inner)


def many(copy: Dataset) -> None:
    item = groups(copy)[0].ContentSequence[0]
    copy.ContentSequence = [item] * (statements.MOST_ITEMS + 1)


def no_uid(copy: Dataset) -> None:
    named(groups(copy)[0], "112040")[0].UID = ""


def no_number(copy: Dataset) -> None:
    (value,) = named(groups(copy)[0], "SVH-ERO")[0].MeasuredValueSequence
    value.NumericValue = None


def test_what_is_nested_too_deep_or_endless_is_refused(report: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsuitableInput, match="nested too deep"):
        document_in(content_of(edited(report, deep)), ())
    monkeypatch.setattr(statements, "MOST_ITEMS", 30)
    with pytest.raises(UnsuitableInput, match="more than 30 content items"):
        document_in(content_of(edited(report, many)), ())


def test_what_is_no_uid_or_no_number_is_left_out(report: Dataset) -> None:
    assert document_in(content_of(edited(report, no_uid)), ()).groups == ()
    (group,) = document_in(content_of(edited(report, no_number)), ()).groups
    assert "SVH-ERO" not in {number.name.value for number in group.numbers}


@pytest.mark.parametrize("end", [0, 100])
def test_a_damaged_file_is_refused_without_a_value_of_it(report: Dataset, end: int) -> None:
    content = content_of(deepcopy(report))[:end] + b"\xff" * 40
    with pytest.raises(UnsuitableInput) as refused:
        document_in(content, ())
    assert str(report.PatientName) not in str(refused.value)
