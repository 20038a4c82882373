"""FHIR R4 to records: a bundle, checked resource by resource; what cannot be used is counted with its reason.

The resources are parsed with `fhir.resources` (R4B, whose definitions of these resources are R4's but for names). One
bad resource costs nobody the rest of the bundle.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from importlib import import_module
from math import isfinite
from typing import Any

from pydantic import ValidationError

from dicom_sr.errors import UnsuitableInput
from pipelines.context import CodedEvent
from pipelines.records.code_systems import Family, family
from pipelines.records.dates import PartialDate, partial_date
from pipelines.records.fhir_references import Entry, References
from pipelines.records.record import DAY_UNKNOWN, Identity, Record, Sex, chosen_identifiers

# what is read; everything else (claims, care plans, immunizations, ...) says nothing that the pipelines use
READ = (
    "Patient",
    "Condition",
    "MedicationRequest",
    "MedicationStatement",
    "MedicationDispense",
    "MedicationAdministration",
    "Medication",
    "Observation",
    "Procedure",
    "ServiceRequest",
    "Encounter",
    "FamilyMemberHistory",
)
SEXES: dict[str, Sex] = {"female": "F", "male": "M", "other": "O"}
NOT_TRUE = {"entered-in-error", "refuted", "cancelled", "revoked", "not-done", "not-taken"}
NOT_SAID = {"differential", "draft", "proposal", "plan", "option"}  # thought of, not found or done
ARTHRITIS = {"3723001", "396275006", "239873007", "69896004"}  # SNOMED: arthritis, osteoarthritis, of knee, rheumatoid
FAMILY_HISTORY = ("http://hl7.org/fhir/sid/icd-10-cm", "Z82.61")  # family history of arthritis
CONCEPT_ORDER: tuple[Family, ...] = ("snomed", "icd10", "icd9cm", "rxnorm", "atc", "loinc")
NAME_ORDER = ("official", "usual", "", "temp", "nickname", "anonymous", "old", "maiden")
GERMAN_CERTAINTY = {"A": "refuted", "V": "differential"}  # excluded, suspected; G is sure and Z a state after it
YEARS = ("a", "year", "years")
DAYS = {
    **dict.fromkeys(("s", "second", "seconds"), 1 / 86400),
    **dict.fromkeys(("min", "minute", "minutes"), 1 / 1440),
    **dict.fromkeys(("h", "hour", "hours"), 1 / 24),
    **dict.fromkeys(("d", "day", "days"), 1.0),
    **dict.fromkeys(("wk", "week", "weeks"), 7.0),
    **dict.fromkeys(("mo", "month", "months"), 30.4),
    **dict.fromkeys(YEARS, 365.25),
}
MOST_ENTRIES = 100_000  # of a bundle
LONGEST_LIFE_DAYS = 150 * 365.25
YEAR_IN_WORDS = re.compile(r"(?<![\d.-])(?:19|20)\d\d(?:-\d\d(?:-\d\d)?)?(?![\d-])", re.ASCII)


@dataclass
class Imported:
    """Records of a bundle and what of it was left out, in words without any value of it."""

    records: list[Record] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)  # resource type: reason
    skipped: Counter[str] = field(default_factory=Counter)  # types that say nothing to us
    patients: int = 0  # resources, whatever their identifiers
    damaged: tuple[int, str] | None = None  # the first patient that cannot be used: number of the entry, and why

    @property
    def events(self) -> int:
        """Number of events of all records."""
        return sum(len(record.events) for record in self.records)


def read_bundle(bundle: Mapping[str, Any], issuers: Mapping[str, str], default_issuer: str = "") -> Imported:
    """The patients of a bundle with their events; one record per identifier that counts.

    Parameters
    ----------
    bundle
        FHIR R4, as parsed from JSON.
    issuers
        Issuer of patient IDs by FHIR system; where it names any, only their identifiers count.
    default_issuer
        Of patient IDs where `issuers` names none.

    Raises
    ------
    UnsuitableInput
        If it is no bundle or has no patient with an identifier that counts.
    """
    imported = Imported()
    for patient, statements in _people(bundle, imported):
        imported.records += _records(patient, statements, issuers, default_issuer)
    if not imported.records:
        raise UnsuitableInput(_why_nobody(imported, issuers))
    return imported


def _why_nobody(imported: Imported, issuers: Mapping[str, str]) -> str:
    """Why a bundle has nobody whose record could be kept."""
    if imported.damaged:
        number, why = imported.damaged
        return f"the bundle has no patient that can be read: entry {number} (from 0) is no Patient of FHIR R4: {why}"
    if not imported.patients:
        return "the bundle has no patient: should have an entry with a resource of resourceType Patient"
    which = "of a system that records.issuers names" if issuers else "with a value"
    return f"the bundle has no patient with an identifier that counts: should have an identifier {which}"


def read_people(bundle: Mapping[str, Any]) -> list[Record]:
    """One record per patient of a bundle, whatever their identifiers: for training, which asks nobody's name.

    Raises
    ------
    UnsuitableInput
        If it is no bundle.
    """
    return [_record(patient, statements, "", "") for patient, statements in _people(bundle, Imported())]


@dataclass
class _Statements:
    """What a bundle tells about one patient."""

    events: list[CodedEvent] = field(default_factory=list)
    retracted: list[CodedEvent] = field(default_factory=list)


def _people(bundle: Mapping[str, Any], imported: Imported) -> list[tuple[Any, _Statements]]:
    """Each patient resource with what is told about it; what cannot be used is counted in `imported`."""
    if bundle.get("resourceType") != "Bundle" or not isinstance(bundle.get("entry", []), list):
        raise UnsuitableInput("not a FHIR bundle")
    if len(bundle.get("entry", [])) > MOST_ENTRIES:
        raise UnsuitableInput(f"the bundle has more than {MOST_ENTRIES} entries; send parts")
    entries = _entries(bundle, imported)
    references = References(entries)
    patients = {entry.full_url: entry for entry in entries if entry.kind == "Patient"}
    imported.patients = len(patients)
    alone = next(iter(patients.values())) if len(patients) == 1 else None
    statements = {where: _Statements() for where in patients}
    for entry in entries:
        if entry.kind in ("Patient", "Medication"):
            continue
        subject = _subject(entry, references, alone)
        if subject is None:
            imported.refused[f"{entry.kind}: of a patient who is not in the bundle"] += 1
            continue
        if subject.full_url not in patients:  # it is inside the resource
            patients[subject.full_url], statements[subject.full_url] = subject, _Statements()
        told = statements[subject.full_url]
        marks = _marks(entry.model)
        found = [] if marks & NOT_SAID else list(_events(entry, references, subject.model))
        events = [event for event in found if isinstance(event, CodedEvent)]
        if marks & NOT_TRUE:
            told.retracted += events
            imported.refused[f"{entry.kind}: marked as not true"] += 1
        elif marks & NOT_SAID:
            imported.refused[f"{entry.kind}: only thought of"] += 1
        else:
            told.events += events
            imported.refused.update(f"{entry.kind}: {why}" for why in found if isinstance(why, str))
    return [(patients[where].model, told) for where, told in statements.items()]


def _subject(entry: Entry, references: References, alone: Entry | None) -> Entry | None:
    """Whom a resource is about: the only patient of the bundle, where it does not say."""
    reference = getattr(entry.model, "subject", None) or getattr(entry.model, "patient", None)
    said = reference is not None and (reference.reference or reference.identifier)
    return references.find(reference, entry, "Patient") if said else alone


def _marks(model: Any) -> set[str]:
    """What a resource says of its own truth."""
    marks = {str(getattr(model, name, "") or "") for name in ("status", "intent")}
    marks.add(_code_of(getattr(model, "verificationStatus", None)))
    for coding in getattr(getattr(model, "code", None), "coding", None) or ():
        marks |= {GERMAN_CERTAINTY.get(certainty, "") for certainty in _certainties(coding)}
    return marks | ({"cancelled"} if getattr(model, "doNotPerform", None) else set())


def _certainties(coding: Any) -> Iterator[str]:
    """How sure a German diagnosis is, which is told beside its code."""
    for extension in coding.extension or ():
        if str(extension.url or "").endswith("/icd-10-gm-diagnosesicherheit"):
            yield str(extension.valueCoding.code if extension.valueCoding else extension.valueCode or "")


def _entries(bundle: Mapping[str, Any], imported: Imported) -> list[Entry]:
    """The usable resources; of two under one address the later one."""
    found: dict[str, Entry] = {}
    for number, entry in enumerate(bundle.get("entry", [])):
        raw = entry.get("resource") if isinstance(entry, dict) else None
        kind = str(raw.get("resourceType", "")) if isinstance(raw, dict) else ""
        if kind not in READ:
            imported.skipped[kind if kind.isalpha() else "no resource"] += 1
            continue
        try:
            module = import_module(f"fhir.resources.R4B.{kind.lower()}")
            model = getattr(module, kind).model_validate(raw)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            # besides pydantic's, what fhir.resources raises for a resource inside another whose type is none
            why = _what_is_wrong(error)
            imported.refused[f"{kind}: {why}"] += 1
            if kind == "Patient" and imported.damaged is None:
                imported.damaged = number, why
            continue
        address = str(entry.get("fullUrl") or f"{kind}/{model.id or f'#{number}'}")
        if address in found:
            imported.refused[f"{found[address].kind}: told anew under the same address"] += 1
        found[address] = Entry(address, model)
    return list(found.values())


def _what_is_wrong(error: Exception) -> str:
    """The element and the kind of error; an element that FHIR does not have is free text of the sender."""
    if not isinstance(error, ValidationError):
        return "it holds something that is no FHIR R4"
    first = error.errors()[0]
    if first["type"] == "extra_forbidden":
        return "it has an element that FHIR R4 does not have"
    place = [part for part in first["loc"] if isinstance(part, str)]  # which of a list does not matter
    return f"{'.'.join(place)}: {first['type']}"


def _records(
    patient: Any, statements: _Statements, issuers: Mapping[str, str], default_issuer: str
) -> Iterator[Record]:
    identifiers = [
        (identifier.value or "", identifier.system or "", _code_of(identifier.type))
        for identifier in patient.identifier or ()
    ]
    for patient_id, issuer in chosen_identifiers(identifiers, issuers, default_issuer):
        yield _record(patient, statements, patient_id, issuer)


def _record(patient: Any, statements: _Statements, patient_id: str, issuer: str) -> Record:
    name = _name(patient)
    identity = Identity(
        patient_id,
        issuer,
        str(name.family or "") if name else "",
        " ".join(str(given) for given in (name.given or ())) if name else "",
        sex=SEXES.get(str(patient.gender), "U"),
    ).born(_day(patient.birthDate))
    died = day.first if (day := _day(patient.deceasedDateTime)) is not None else None
    if died is None and (patient.deceasedBoolean or patient.deceasedDateTime):
        died = DAY_UNKNOWN
    return Record(identity, tuple(statements.events), died, "FHIR R4", tuple(statements.retracted))


def _name(patient: Any) -> Any:
    """Of several names the one that is borne now: official before usual, old and maiden names last."""

    def place(name: Any) -> tuple[bool, bool, int]:
        ended = _day(_end(name.period))
        over = ended is not None and ended.first < date.today()
        use = str(name.use or "")
        return not name.family, over, NAME_ORDER.index(use) if use in NAME_ORDER else len(NAME_ORDER)

    return min(patient.name or (), key=place, default=None)


def _events(entry: Entry, references: References, patient: Any) -> Iterator[CodedEvent | str]:
    """What a resource tells, or why nothing can be made of it."""
    kind, model = entry.kind, entry.model
    if kind == "Condition":
        start = (
            _day(model.onsetDateTime or _start(model.onsetPeriod))
            or _at_age(patient, model.onsetAge or (model.onsetRange.low if model.onsetRange else None))
            or _in_words(model.onsetString)
            or _day(model.recordedDate)
        )
        end = _day(model.abatementDateTime or _end(model.abatementPeriod)) or _at_age(patient, model.abatementAge)
        yield from _event("condition", model.code, start, end)
    elif kind.startswith("Medication"):
        yield from _medication(entry, references)
    elif kind == "Observation":
        day = _day(model.effectiveDateTime or _start(model.effectivePeriod) or model.effectiveInstant or model.issued)
        for part in (model, *(model.component or ())):
            yield from _observation(part, day)
    elif kind == "Procedure":
        done = _day(model.performedDateTime or _start(model.performedPeriod)) or _at_age(patient, model.performedAge)
        yield from _event("procedure", model.code, done or _in_words(model.performedString))
    elif kind == "ServiceRequest":
        day = _day(model.occurrenceDateTime or _start(model.occurrencePeriod) or model.authoredOn)
        yield from _event("procedure", model.code, day)
    elif kind == "Encounter":
        start, end = _day(_start(model.period)), _day(_end(model.period))
        concepts = model.type or [None]
        coding = _coding(concepts[0]) or ("", "encounter", "")
        yield _coded("encounter", coding, start, end) if start is not None else "no date"
    elif kind == "FamilyMemberHistory":
        yield from _family(model)


def _medication(entry: Entry, references: References) -> Iterator[CodedEvent | str]:
    model = entry.model
    concept = model.medicationCodeableConcept
    if concept is None and model.medicationReference is not None:
        there = references.find(model.medicationReference, entry, "Medication")
        if there is None:
            yield "the Medication that it refers to is not in the bundle"
            return
        concept = there.model.code
    supply: float | None = None
    end = None
    if entry.kind == "MedicationRequest":
        start = _day(model.authoredOn)
        request = model.dispenseRequest
        supply = _days(request.expectedSupplyDuration) if request else None
        end = _day(_end(request.validityPeriod)) if request else None
    elif entry.kind == "MedicationDispense":
        start, supply = _day(model.whenHandedOver or model.whenPrepared), _days(model.daysSupply)
    else:
        start = _day(model.effectiveDateTime or _start(model.effectivePeriod))
        end = _day(_end(model.effectivePeriod))
    for event in _event("medication", concept, start, end):
        yield replace(event, days_supply=supply) if isinstance(event, CodedEvent) else event


def _observation(part: Any, day: PartialDate | None) -> Iterator[CodedEvent | str]:
    value, unit = part.valueInteger, ""
    if part.valueQuantity is not None:
        value, unit = part.valueQuantity.value, part.valueQuantity.code or part.valueQuantity.unit or ""
    elif part.valueBoolean is not None:
        value = int(part.valueBoolean)
    number = None if value is None or not isfinite(value) else float(value)
    for event in _event("observation", part.code, day):
        yield replace(event, value=number, unit=str(unit)) if isinstance(event, CodedEvent) else event


def _family(model: Any) -> Iterator[CodedEvent | str]:
    day = _day(model.date) or PartialDate(date.min)
    codings = [coding for condition in model.condition or () if (coding := _coding(condition.code))]
    found = [coding for coding in codings if coding[1] in ARTHRITIS]
    for _ in found:
        yield _coded("condition", (*FAMILY_HISTORY, ""), day)
    if not found:
        yield "no arthritis in it"


def _event(
    kind: Any, concept: Any, start: PartialDate | None, end: PartialDate | None = None
) -> Iterator[CodedEvent | str]:
    coding = _coding(concept)
    if coding is None:
        yield "no code and no text"
    elif start is None:
        yield "no date"
    else:
        yield _coded(kind, coding, start, end)


def _coded(kind: Any, coding: tuple[str, str, str], start: PartialDate, end: PartialDate | None = None) -> CodedEvent:
    system, code, display = coding
    return CodedEvent(kind, system, code, start.first, end.first if end else None, display, precision=start.precision)


def _coding(concept: Any) -> tuple[str, str, str] | None:
    """The coding of a concept in the best known code system; the text alone where it has none."""
    if concept is None:
        return None
    codings = [
        (str(c.system or ""), str(c.code), str(c.display or concept.text or "")) for c in concept.coding or () if c.code
    ]
    if not codings:
        return ("", "", str(concept.text)) if concept.text else None

    def place(coding: tuple[str, str, str]) -> int:
        known = family(coding[0], coding[1])
        return CONCEPT_ORDER.index(known) if known else len(CONCEPT_ORDER)

    return min(codings, key=place)


def _code_of(concept: Any) -> str:
    coding = next(iter(getattr(concept, "coding", None) or ()), None)
    return str(coding.code) if coding and coding.code else ""


def _start(period: Any) -> Any:
    return period.start if period else None


def _end(period: Any) -> Any:
    return period.end if period else None


def _days(quantity: Any, usual: str = "d") -> float | None:
    """How many days that is; None where it is told in no unit that is known."""
    unit = None if quantity is None or quantity.value is None else _unit(quantity, usual)
    days = None if unit is None else float(quantity.value) * DAYS[unit]
    return days if days is not None and isfinite(days) else None  # a number may have hundreds of digits


def _unit(quantity: Any, usual: str) -> str | None:
    """A unit of time, by its code or its name; `usual` where neither is told, None where neither is known."""
    told = [str(text).lower() for text in (quantity.code, quantity.unit) if text] or [usual]
    return next((text for text in told if text in DAYS), None)


def _day(value: Any) -> PartialDate | None:
    if isinstance(value, datetime):
        return PartialDate(value.date())
    if isinstance(value, date):
        return PartialDate(value)
    return partial_date(str(value)) if value else None  # a year, or a year and a month


def _at_age(patient: Any, age: Any) -> PartialDate | None:
    """When a patient was of an age: to the year, or to the month where the age is in months, weeks or days.

    None where the age is told in no unit that is known, or leads beyond the calendar.
    """
    born, days = _day(patient.birthDate), _days(age, "a")
    if born is None or days is None or not 0 <= days < LONGEST_LIFE_DAYS:
        return None
    try:
        if _unit(age, "a") in YEARS:
            return PartialDate(date(born.first.year + int(age.value), 1, 1), "year")
        then = born.first + timedelta(days=days)
    except (ValueError, OverflowError):  # whoever is born in 9990 stands for nobody
        return None
    return (
        PartialDate(then.replace(month=1, day=1), "year")
        if born.precision == "year"
        else PartialDate(then.replace(day=1), "month")
    )


def _in_words(text: Any) -> PartialDate | None:
    """The one year or date that a text tells ("since about 2012"); None where it tells none, or several."""
    found = {partial_date(part) for part in YEAR_IN_WORDS.findall(str(text or ""))}
    return next(iter(found)) if len(found) == 1 else None
