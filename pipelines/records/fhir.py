"""FHIR R4 to records: a bundle, checked resource by resource; what cannot be used is counted with its reason.

The resources are parsed with `fhir.resources` (R4B, whose definitions of these resources are R4's but for names). One
bad resource costs nobody the rest of the bundle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from importlib import import_module
from math import isfinite
from typing import Any

from pydantic import ValidationError

from dicom_sr.errors import UnsuitableInput
from pipelines.context import CodedEvent
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
CONCEPT_ORDER = ("snomed.info", "icd-10", "icd-9", "rxnorm", "whocc.no/atc", "loinc.org")


@dataclass
class Imported:
    """Records of a bundle and what of it was left out, in words without any value of it."""

    records: list[Record] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)  # resource type: reason
    skipped: Counter[str] = field(default_factory=Counter)  # types that say nothing to us

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
        raise UnsuitableInput("the bundle has no patient with an identifier that counts (records.issuers)")
    return imported


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
    resources = dict(_resources(bundle, imported))
    patients = {where: model for where, model in resources.items() if model.get_resource_type() == "Patient"}
    statements = {where: _Statements() for where in patients}
    alone = next(iter(patients)) if len(patients) == 1 else None
    by_reference = {name: where for where, model in patients.items() for name in (where, f"Patient/{model.id}")}
    for model in resources.values():
        kind = model.get_resource_type()
        if kind in ("Patient", "Medication"):
            continue
        subject = by_reference.get(_reference(model), alone if not _reference(model) else None)
        if subject is None:
            imported.refused[f"{kind}: of a patient who is not in the bundle"] += 1
            continue
        marks = _marks(model)
        found = [] if marks & NOT_SAID else list(_events(model, resources))
        if marks & NOT_TRUE:
            statements[subject].retracted += found
            imported.refused[f"{kind}: marked as not true"] += 1
            continue
        statements[subject].events += found
        if not found:
            imported.refused[f"{kind}: no code or date, or only thought of"] += 1
    return [(patient, statements[where]) for where, patient in patients.items()]


def _marks(model: Any) -> set[str]:
    """What a resource says of its own truth."""
    marks = {str(getattr(model, name, "") or "") for name in ("status", "intent")}
    marks.add(_code_of(getattr(model, "verificationStatus", None)))
    return marks | ({"cancelled"} if getattr(model, "doNotPerform", None) else set())


def _resources(bundle: Mapping[str, Any], imported: Imported) -> Iterator[tuple[str, Any]]:
    """Each usable resource under the reference that others use for it."""
    for number, entry in enumerate(bundle.get("entry", [])):
        raw = entry.get("resource") if isinstance(entry, dict) else None
        kind = str(raw.get("resourceType", "")) if isinstance(raw, dict) else ""
        if kind not in READ:
            imported.skipped[kind if kind.isalpha() else "no resource"] += 1
            continue
        try:
            module = import_module(f"fhir.resources.R4B.{kind.lower()}")
            model = getattr(module, kind).model_validate(raw)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            imported.refused[f"{kind}: {where}: {error.errors()[0]['type']}"] += 1
            continue
        yield str(entry.get("fullUrl") or f"{kind}/{model.id or f'#{number}'}"), model


def _reference(model: Any) -> str:
    subject = getattr(model, "subject", None) or getattr(model, "patient", None)
    text = str(getattr(subject, "reference", None) or "")
    return text if text.startswith("urn:") else "/".join(text.split("/")[-2:])


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
    name = next(iter(patient.name or ()), None)
    identity = Identity(
        patient_id,
        issuer,
        str(name.family or "") if name else "",
        " ".join(str(given) for given in (name.given or ())) if name else "",
        _day(patient.birthDate),
        SEXES.get(str(patient.gender), "U"),
    )
    died = _day(patient.deceasedDateTime) if patient.deceasedDateTime else None
    if died is None and patient.deceasedBoolean:
        died = DAY_UNKNOWN
    return Record(identity, tuple(statements.events), died, "FHIR R4", tuple(statements.retracted))


def _events(model: Any, resources: Mapping[str, Any]) -> Iterator[CodedEvent]:
    kind = model.get_resource_type()
    if kind == "Condition":
        start = _day(model.onsetDateTime or _start(model.onsetPeriod) or model.recordedDate)
        end = _day(model.abatementDateTime or _end(model.abatementPeriod))
        yield from _event("condition", model.code, start, end)
    elif kind.startswith("Medication"):
        yield from _medication(model, resources)
    elif kind == "Observation":
        day = _day(model.effectiveDateTime or _start(model.effectivePeriod) or model.issued)
        for part in (model, *(model.component or ())):
            yield from _observation(part, day)
    elif kind == "Procedure":
        yield from _event("procedure", model.code, _day(model.performedDateTime or _start(model.performedPeriod)))
    elif kind == "ServiceRequest":
        day = _day(model.occurrenceDateTime or _start(model.occurrencePeriod) or model.authoredOn)
        yield from _event("procedure", model.code, day)
    elif kind == "Encounter":
        start, end = _day(_start(model.period)), _day(_end(model.period))
        concepts = model.type or [None]
        if start is not None:
            system, code, display = _coding(concepts[0]) or ("", "encounter", "")
            yield CodedEvent("encounter", system, code, start, end, display)
    elif kind == "FamilyMemberHistory":
        yield from _family(model)


def _medication(model: Any, resources: Mapping[str, Any]) -> Iterator[CodedEvent]:
    concept = model.medicationCodeableConcept
    if concept is None and model.medicationReference is not None:
        concept = _referred(model, str(model.medicationReference.reference or ""), resources)
    kind = model.get_resource_type()
    supply: float | None = None
    end = None
    if kind == "MedicationRequest":
        start = _day(model.authoredOn)
        request = model.dispenseRequest
        supply = _days(request.expectedSupplyDuration) if request else None
        end = _day(_end(request.validityPeriod)) if request else None
    elif kind == "MedicationDispense":
        start, supply = _day(model.whenHandedOver or model.whenPrepared), _days(model.daysSupply)
    else:
        start = _day(model.effectiveDateTime or _start(model.effectivePeriod))
        end = _day(_end(model.effectivePeriod))
    yield from _event("medication", concept, start, end, days_supply=supply)


def _referred(model: Any, reference: str, resources: Mapping[str, Any]) -> Any:
    if reference.startswith("#"):
        inside = (part for part in model.contained or () if f"#{part.id}" == reference)
        return getattr(next(inside, None), "code", None)
    found = resources.get(reference) or resources.get("/".join(reference.split("/")[-2:]))
    return getattr(found, "code", None)


def _observation(part: Any, day: date | None) -> Iterator[CodedEvent]:
    value, unit = part.valueInteger, ""
    if part.valueQuantity is not None:
        value, unit = part.valueQuantity.value, part.valueQuantity.code or part.valueQuantity.unit or ""
    elif part.valueBoolean is not None:
        value = int(part.valueBoolean)
    for event in _event("observation", part.code, day):
        number = None if value is None or not isfinite(value) else float(value)
        yield CodedEvent(event.kind, event.system, event.code, event.start, None, event.display, number, str(unit))


def _family(model: Any) -> Iterator[CodedEvent]:
    day = _day(model.date) or date.min
    for condition in model.condition or ():
        coding = _coding(condition.code)
        if coding and coding[1] in ARTHRITIS:
            yield CodedEvent("condition", *FAMILY_HISTORY, day)


def _event(
    kind: Any, concept: Any, start: date | None, end: date | None = None, days_supply: float | None = None
) -> Iterator[CodedEvent]:
    coding = _coding(concept)
    if coding is not None and start is not None:
        system, code, display = coding
        yield CodedEvent(kind, system, code, start, end, display, days_supply=days_supply)


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
        return next((n for n, part in enumerate(CONCEPT_ORDER) if part in coding[0]), len(CONCEPT_ORDER))

    return min(codings, key=place)


def _code_of(concept: Any) -> str:
    coding = next(iter(getattr(concept, "coding", None) or ()), None)
    return str(coding.code) if coding and coding.code else ""


def _start(period: Any) -> Any:
    return period.start if period else None


def _end(period: Any) -> Any:
    return period.end if period else None


DAYS = {"d": 1.0, "day": 1.0, "days": 1.0, "wk": 7.0, "week": 7.0, "mo": 30.4, "month": 30.4, "a": 365.25}


def _days(quantity: Any) -> float | None:
    if quantity is None or quantity.value is None:
        return None
    return float(quantity.value) * DAYS.get(str(quantity.code or quantity.unit or "d"), 1.0)


def _day(value: Any) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, str) and len(value) >= 4:  # a year, or a year and a month
        parts = [int(part) for part in value.split("-")]
        return date(parts[0], parts[1] if len(parts) > 1 else 1, 1)
    return None
