"""A record that is named for the images must be of the same person; it lies nowhere afterwards."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dicom_sr import phantoms
from dicom_sr.errors import UnsuitableInput
from dicom_sr.series import Study
from node.local.record import GivenRecords
from tests.factories import knee_study

DOE = phantoms.Person("4711", "Doe^Jane", "F", "19600504")


def record(folder: Path, **changes: Any) -> Path:
    patient = {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"system": "urn:h", "value": "4711"}],
        "name": [{"family": "Doe", "given": ["Jane"]}],
        "gender": "female",
        "birthDate": "1960-05-04",
        **changes,
    }
    condition = {
        "resourceType": "Condition",
        "id": "c",
        "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "239873007"}]},
        "onsetDateTime": "2020-03-01",
    }
    entries = [{"resource": patient}, {"resource": condition}]
    path = folder / "record.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    return path


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return knee_study(tmp_path / "in", person=DOE)


def test_the_record_of_the_patient_is_given_up_to_the_day_of_the_study(tmp_path: Path, study: Study) -> None:
    records = GivenRecords(record(tmp_path))
    context = records.context(study)
    assert (context.index_date, context.birth_date, context.sex) == (date(2026, 11, 20), date(1960, 5, 4), "F")
    assert [event.code for event in context.events] == ["239873007"]
    records.close()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"identifier": [{"system": "urn:h", "value": "4712"}]}, "the record that was given is not of this patient"),
        ({"birthDate": "1961-05-04"}, "not of one person.*birth date"),
        ({"name": [{"family": "Roe", "given": ["Jane"]}]}, "not of one person.*family name"),
    ],
)
def test_a_record_of_somebody_else_is_refused_and_names_nobody(
    tmp_path: Path, study: Study, changes: dict[str, Any], told: str
) -> None:
    records = GivenRecords(record(tmp_path, **changes))
    with pytest.raises(UnsuitableInput, match=told) as refused:
        records.context(study)
    assert not {"4711", "4712", "Doe", "Roe", "1960", "1961"} & set(str(refused.value).replace(",", " ").split())
    records.close()


def test_nothing_of_a_record_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    records = GivenRecords(record(tmp_path))
    assert [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()]
    records.close()
    (tmp_path / "other.json").write_text('{"resourceType": "Observation"}')
    with pytest.raises(UnsuitableInput, match=r"^other\.json: "):
        GivenRecords(tmp_path / "other.json")
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(("content", "told"), [(b"", "the file is empty"), (b"hello", "should be FHIR JSON")])
def test_a_file_that_is_no_record_is_refused_with_the_reason(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "record").write_bytes(content)
    with pytest.raises(UnsuitableInput, match=told):
        GivenRecords(tmp_path / "record")
