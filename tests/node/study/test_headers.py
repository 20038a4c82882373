"""The reader of headers, and who they say the patient is."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from node.errors import NodeError
from node.study.headers import day, identity_in, read_header, study_header
from pipelines.records.record import Identity
from tests.node.receive.harness import mr, part10


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "one.dcm"
    patient: dict[str, Any] = {
        "PatientName": "Muster^Erika",
        "PatientID": " K1 ",
        "PatientBirthDate": "19600229",
        "PatientSex": "F",
    }
    path.write_bytes(part10(mr("1.2.3", **patient)))
    return path


def test_only_what_is_asked_for_is_read(stored: Path) -> None:
    header = read_header(stored, ["Modality", "StudyDate"])
    assert header is not None
    assert {element.keyword for element in header} == {"Modality", "StudyDate"}


@pytest.mark.parametrize("content", [b"", b"\0" * 200])
def test_a_file_without_a_header_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "none.dcm"
    path.write_bytes(content)
    header = read_header(path, ["Modality"])
    assert header is None or "Modality" not in header


def test_an_element_that_does_not_hold_what_it_should_is_left_out(tmp_path: Path) -> None:
    ds = mr()
    content = part10(ds).replace(b"\x08\x00\x20\x00DA\x08\x0020260101", b"\x08\x00\x20\x00US\x07\x0020260101")
    path = tmp_path / "bad.dcm"
    path.write_bytes(content)
    header = read_header(path, ["StudyDate", "Modality"])
    assert header is None or "StudyDate" not in header


def test_the_header_of_a_study_names_patient_and_study(stored: Path) -> None:
    header = study_header(stored)
    assert header.StudyInstanceUID == "1.2.3"
    who = identity_in(header, "HOSPITAL")
    assert (who.patient_id, who.issuer, who.family_name, who.given_name) == ("K1", "HOSPITAL", "Muster", "Erika")
    assert (who.birth_date, who.sex) == (date(1960, 2, 29), "F")


def test_a_file_that_is_gone_is_an_error_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="an image that was stored cannot be read: No such file"):
        study_header(tmp_path / "gone.dcm")


def test_an_issuer_in_the_header_counts_before_the_default(stored: Path) -> None:
    header = pydicom.dcmread(stored)
    header.IssuerOfPatientID = "OTHER"
    assert identity_in(header, "HOSPITAL").issuer == "OTHER"


def test_an_empty_header_is_of_nobody() -> None:
    who = identity_in(Dataset())
    assert (who.patient_id, who.issuer, who.birth_date, who.sex) == ("", "", None, "U")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20260101", date(2026, 1, 1)),
        ("20260101123000.5", date(2026, 1, 1)),
        ("2026", None),
        ("20261301", None),
        (None, None),
    ],
)
def test_a_day_is_read_from_dates_and_time_stamps(value: Any, expected: date | None) -> None:
    assert day(value) == expected


@pytest.mark.parametrize(
    ("told", "precision", "same", "other"),
    [
        ("1960", "year", date(1960, 2, 29), date(1961, 2, 28)),
        ("196002", "month", date(1960, 2, 29), date(1960, 3, 1)),
        ("19600000", "year", date(1960, 2, 29), date(1961, 2, 28)),
        ("1960.02.29", "day", date(1960, 2, 29), date(1960, 2, 28)),
    ],
)
def test_a_birth_date_counts_as_far_as_it_is_known(told: str, precision: str, same: date, other: date) -> None:
    who = identity_in(Dataset.from_json({"00100030": {"vr": "LO", "Value": [told]}}))
    assert who.birth_precision == precision
    assert not who.births_differ(Identity("", birth_date=same))
    assert who.births_differ(Identity("", birth_date=other))


@pytest.mark.parametrize("value", ["196011", "2024123", "1960", "18-01-01"])
def test_a_date_that_lacks_digits_is_no_day(value: str) -> None:
    assert day(value) is None
