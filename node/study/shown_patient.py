"""Whom a study is of, as one of its images says it: read to be shown, and kept nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydicom.valuerep import PersonName

from node.study.headers import PATIENT, read_header
from pipelines.records.dates import partial_date

SHOWN = (*PATIENT, "AccessionNumber", "StudyDescription", "StudyDate")


@dataclass(frozen=True)
class ShownPatient:
    """Values of a header for people; empty where it states none. Nothing of it shows in a repr."""

    name: str = field(repr=False)
    patient_id: str = field(repr=False)
    birth_date: str = field(repr=False)
    sex: str = field(repr=False)
    accession_number: str = field(repr=False)
    description: str = field(repr=False)
    study_date: str = field(repr=False)


def shown_patient_in(path: Path) -> ShownPatient:
    """What a stored image says of its patient and study.

    Raises
    ------
    UnreadableHeader, ReadingFailed
        If it cannot be read.
    StorageAway
        If the system does not let it be read.
    """
    header = read_header(path, SHOWN)
    name = header.get("PatientName")
    return ShownPatient(
        _in_words(name) if isinstance(name, PersonName) else "",
        str(header.get("PatientID") or "").strip(),
        _day(header.get("PatientBirthDate")),
        str(header.get("PatientSex") or ""),
        str(header.get("AccessionNumber") or "").strip(),
        str(header.get("StudyDescription") or "").strip(),
        _day(header.get("StudyDate")),
    )


def _in_words(name: PersonName) -> str:
    family, *others = (str(part) for part in (name.family_name, name.given_name, name.middle_name))
    given = " ".join(part for part in others if part)
    return ", ".join(part for part in (family, given) if part)


def _day(value: object) -> str:
    found = partial_date(str(value or ""))
    if found is None:
        return ""
    form = {"day": "%d %b %Y", "month": "%b %Y", "year": "%Y"}[found.precision]
    return f"{found.first:{form}}"
