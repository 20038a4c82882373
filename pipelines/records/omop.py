"""OMOP CDM tables (5.3 or 5.4, csv in a folder or a zip) to records."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from dicom_sr.errors import UnsuitableInput
from pipelines.context import CodedEvent
from pipelines.records.dates import PartialDate, partial_date
from pipelines.records.record import DAY_UNKNOWN, Identity, Record, Sex

VOCABULARIES = {
    "SNOMED": "http://snomed.info/sct",
    "LOINC": "http://loinc.org",
    "RxNorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "RxNorm Extension": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "ICD10": "http://hl7.org/fhir/sid/icd-10",
    "ICD9CM": "http://hl7.org/fhir/sid/icd-9-cm",
    "ICD9Proc": "http://hl7.org/fhir/sid/icd-9-cm",
    "ATC": "http://www.whocc.no/atc",
}
SEXES: dict[str, Sex] = {"8507": "M", "8532": "F"}  # OMOP concepts of gender
# table: kind, its name in the columns, date column
TABLES: dict[str, tuple[Any, str, str]] = {
    "condition_occurrence": ("condition", "condition", "condition_start_date"),
    "drug_exposure": ("medication", "drug", "drug_exposure_start_date"),
    "measurement": ("observation", "measurement", "measurement_date"),
    "observation": ("observation", "observation", "observation_date"),
    "procedure_occurrence": ("procedure", "procedure", "procedure_date"),
    "visit_occurrence": ("encounter", "visit", "visit_start_date"),
    "observation_period": ("encounter", "period_type", "observation_period_start_date"),
}
csv.field_size_limit(10_000_000)  # notes are long

Row = dict[str, str]
Concepts = dict[str, tuple[str, str, str]]


def read_tables(path: Path, issuer: str = "") -> list[Record]:
    """One record per person, under `person_source_value` (or `person_id`) and `issuer`.

    Raises
    ------
    UnsuitableInput
        If the tables PERSON and CONCEPT are not there, or a column is missing.
    """
    with ExitStack() as stack:
        tables = _tables(path, stack)
        for needed in ("person", "concept"):
            if needed not in tables:
                raise UnsuitableInput(f"{path.name}: no table {needed.upper()} in it")
        try:
            concepts = _concepts(tables["concept"]())
            events: dict[str, list[CodedEvent]] = {}
            for name, (kind, stem, day) in TABLES.items():
                rows = found = 0
                for row in tables[name]() if name in tables else ():
                    rows += 1
                    event = _event(row, kind, stem, day, concepts)
                    if event is not None:
                        found += 1
                        events.setdefault(row["person_id"], []).append(event)
                if rows and not found:  # silence would look like a patient in good health
                    raise UnsuitableInput(f"{path.name}: no date in {day} of {name.upper()} can be read (YYYY-MM-DD)")
            deaths = tables["death"]() if "death" in tables else ()
            died = {row["person_id"]: _day(row["death_date"]) or DAY_UNKNOWN for row in deaths}
            return [
                Record(
                    _identity(row, issuer),
                    tuple(events.get(row["person_id"], ())),
                    died.get(row["person_id"]),
                    "OMOP CDM",
                )
                for row in tables["person"]()
            ]
        except KeyError as error:
            raise UnsuitableInput(f"{path.name}: a table lacks the column {error.args[0]}") from error
        except (csv.Error, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            # damaged, compressed in a way we do not know, encrypted
            raise UnsuitableInput(f"{path.name}: a table cannot be read ({type(error).__name__})") from error


def _tables(path: Path, stack: ExitStack) -> dict[str, Callable[[], Iterator[Row]]]:
    """A reader for each table, by its name in lower case."""
    if path.is_dir():
        return {file.stem.lower(): _reader(partial(open, file, "rb")) for file in sorted(path.glob("*.csv"))}
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except (OSError, zipfile.BadZipFile) as error:
        raise UnsuitableInput(f"{path.name}: neither a folder nor a zip archive") from error
    names = [name for name in archive.namelist() if name.lower().endswith(".csv") and "__MACOSX" not in name]
    return {Path(name).stem.lower(): _reader(partial(archive.open, name)) for name in names}


def _reader(opened: Callable[[], Any]) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        with opened() as raw:
            # exports are UTF-8 or say nothing; what is not must not stop the rest
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
            for row in csv.DictReader(text):
                yield {str(key).lower(): value or "" for key, value in row.items() if key is not None}

    return rows


def _concepts(rows: Iterator[Row]) -> Concepts:
    return {row["concept_id"]: (row["vocabulary_id"], row["concept_code"], row["concept_name"]) for row in rows}


def _event(row: Row, kind: Any, stem: str, day: str, concepts: Concepts) -> CodedEvent | None:
    start = _day(row[day])
    if start is None:
        return None
    vocabulary, code, display = concepts.get(row[f"{stem}_concept_id"], ("", "", ""))
    if not code:  # not in the vocabulary that came along: the source's own code, of a system we do not know
        code = row.get(f"{stem}_source_value", "")
    value = row.get("value_as_number", "")
    supply = row.get("days_supply", "")
    return CodedEvent(
        kind,
        VOCABULARIES.get(vocabulary, vocabulary),
        code,
        start,
        _day(row.get(day.replace("start", "end"), "")) if "start" in day else None,
        display,
        _number(value),
        row.get("unit_source_value", ""),
        _number(supply),
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _identity(row: Row, issuer: str) -> Identity:
    year, month, day = (row.get(f"{part}_of_birth", "").strip() for part in ("year", "month", "day"))
    exact = _day(row.get("birth_datetime", ""))
    born = PartialDate(exact) if exact else partial_date(f"{year:0>4}{month:0>2}{day:0>2}")
    patient_id = row.get("person_source_value") or row["person_id"]
    return Identity(patient_id, issuer, sex=SEXES.get(row["gender_concept_id"], "U")).born(born)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError:
        return None
