"""OMOP CDM tables: the shared zip, the same as a folder, and what is missing told by name."""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dicom_sr.errors import UnsuitableInput
from pipelines.knee_oa_risk.vocabulary import translate
from pipelines.records.omop import read_tables
from pipelines.records.record import DAY_UNKNOWN, Record

ARCHIVE = "emr/omop-synthea27/Synthea27Nj_5.4.zip"


def test_the_shared_tables_come_in_whole_and_every_diagnosis_and_drug_of_them_is_known(shared_data: Path) -> None:
    records = read_tables(shared_data / ARCHIVE, "OMOP")
    assert len(records) == 28
    assert sum(record.died is not None for record in records) == 3
    translated = [translate(record.events) for record in records]
    assert sum(coverage.unknown for _, coverage in translated) == 0
    # 470 condition and 883 drug rows, counted in the csv files
    assert sum(coverage.diagnoses_and_drugs for _, coverage in translated) == 470 + 883
    with_knee_oa = [
        r
        for r, (mapped, _) in zip(records, translated, strict=True)
        if any(m.concept.code == "KNEE_OA" for m in mapped)
    ]
    assert len(with_knee_oa) == 3
    first = next(record for record in records if record.identity.birth_date == date(1998, 4, 9))
    assert (first.identity.sex, first.identity.issuer) == ("M", "OMOP")
    amoxicillin = next(event for event in first.events if event.code == "308182")
    assert (amoxicillin.start, amoxicillin.days_supply) == (date(2014, 4, 22), 14.0)


def test_a_folder_of_tables_reads_like_the_zip(shared_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared_data / ARCHIVE) as archive:
        for name in ("PERSON", "CONCEPT", "CONDITION_OCCURRENCE", "DEATH"):
            member = next(n for n in archive.namelist() if n.endswith(f"/{name}.csv") or n == f"{name}.csv")
            (tmp_path / f"{name.lower()}.csv").write_bytes(archive.read(member))
    records = read_tables(tmp_path)
    assert sum(len(record.events) for record in records) == 470
    assert {event.kind for record in records for event in record.events} == {"condition"}


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"person": "person_id\n1"}, "no table CONCEPT"),
        ({"concept": "concept_id"}, "no table PERSON"),
        ({"person": "person_id\n1", "concept": "concept_id\n1"}, "lacks the column vocabulary_id"),
    ],
)
def test_what_is_missing_is_told_by_name(tmp_path: Path, tables: Any, why: str) -> None:
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)
    with pytest.raises(UnsuitableInput, match=why):
        read_tables(tmp_path)


def test_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.zip"
    path.write_text("hello")
    with pytest.raises(UnsuitableInput, match="neither a folder nor a zip"):
        read_tables(path)


# ---- tables that are not what they should be
PERSON = "person_id,gender_concept_id,year_of_birth\n1,8532,1960\n"
CONCEPT = "concept_id,vocabulary_id,concept_code,concept_name\n5,LOINC,39156-5,BMI\n"
MEASUREMENT = "person_id,measurement_concept_id,measurement_date,value_as_number\n"


def tables(folder: Path, **given: str) -> list[Record]:
    for name, text in {"person": PERSON, "concept": CONCEPT, **given}.items():
        (folder / f"{name}.csv").write_text(text)
    return read_tables(folder)


def test_a_value_that_is_no_number_is_no_value(tmp_path: Path) -> None:
    (record,) = tables(
        tmp_path, measurement=MEASUREMENT + "1,5,2020-01-01,abc\n1,5,2020-01-02,inf\n1,5,2020-01-03,27\n"
    )
    assert [event.value for event in record.events] == [None, None, 27.0]


def test_dates_that_cannot_be_read_are_told_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableInput, match="no date in measurement_date of MEASUREMENT can be read"):
        tables(tmp_path, measurement=MEASUREMENT + "1,5,01/02/2020,27\n")


@pytest.mark.parametrize("born", ["xx", "1960.5", ""])
def test_a_birth_that_cannot_be_read_is_no_birth_date(tmp_path: Path, born: str) -> None:
    (record,) = tables(tmp_path, person=f"person_id,gender_concept_id,year_of_birth\n1,8532,{born}\n")
    assert record.identity.birth_date is None


def test_a_death_without_its_day_is_a_death(tmp_path: Path) -> None:
    (record,) = tables(tmp_path, death="person_id,death_date\n1,\n")
    assert record.died == DAY_UNKNOWN


def test_a_damaged_archive_is_refused_by_its_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "site.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("PERSON.csv", PERSON * 500)
        archive.writestr("CONCEPT.csv", CONCEPT)
    content = bytearray((tmp_path / "site.zip").read_bytes())
    content[60:90] = bytes(30)
    (tmp_path / "site.zip").write_bytes(content)
    with pytest.raises(UnsuitableInput, match=r"site\.zip: a table cannot be read"):
        read_tables(tmp_path / "site.zip")


def test_a_year_of_birth_counts_as_a_year(tmp_path: Path) -> None:
    (tmp_path / "concept.csv").write_text("concept_id,vocabulary_id,concept_code,concept_name\n")
    people = "1,8532,1960,,\n2,8532,1960,5,\n3,8532,1960,5,4\n"
    (tmp_path / "person.csv").write_text(
        f"person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth\n{people}"
    )
    born = [(r.identity.birth_date, r.identity.birth_precision) for r in read_tables(tmp_path)]
    assert born == [(date(1960, 7, 1), "year"), (date(1960, 5, 15), "month"), (date(1960, 5, 4), "day")]
