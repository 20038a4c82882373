"""The patient's record as a pipeline sees it: coded events with dates, and nothing that names the patient."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Precision = Literal["day", "month", "year"]  # how much of a date is known


@dataclass(frozen=True)
class CodedEvent:
    """One diagnosis, medication, observation or procedure of the record."""

    kind: Literal["condition", "medication", "observation", "procedure", "encounter"]
    system: str  # FHIR system URI, e.g. http://snomed.info/sct
    code: str
    start: date
    end: date | None = None
    display: str = ""
    value: float | None = None  # of an observation
    unit: str = ""  # UCUM
    days_supply: float | None = None  # of a medication
    precision: Precision = "day"  # of `start`, which is the first day of the month or the year


@dataclass(frozen=True)
class ClinicalContext:
    """A patient's record up to `index_date`."""

    index_date: date
    birth_date: date | None  # the middle of the month or the year where no more is known
    sex: Literal["F", "M", "O", "U"]
    events: tuple[CodedEvent, ...] = ()
    source: str = ""  # where it came from, e.g. "FHIR R4 bundle"
    died: date | None = None
