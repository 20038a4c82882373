"""A simulated person as a FHIR R4 bundle, for the demo and the tests: the record comes in the way a real one would."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np

from pipelines.knee_oa_risk.simulation.events import TIMELINE
from pipelines.knee_oa_risk.simulation.population import Population, simulate
from pipelines.knee_oa_risk.simulation.rates import CODES
from pipelines.knee_oa_risk.vocabulary import TABLES, concepts, table_rows

SYSTEM_OF = {
    "icd10": "http://hl7.org/fhir/sid/icd-10-cm",
    "atc": "http://www.whocc.no/atc",
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "icd9cm": "http://hl7.org/fhir/sid/icd-9-cm",
    "condyle": "urn:condyle:knee-oa-risk",
}
STATIC_CODES = {
    "bmi": ("BMI", "kg/m2"),
    "kl": ("KL_GRADE", "1"),
    "family": ("FAMILY_HISTORY", "1"),
    "old_injury": ("OLD_KNEE_INJURY", "1"),
    "urate": ("URATE", "mg/dL"),
    "crp": ("CRP", "mg/L"),
    "hba1c": ("HBA1C", "%"),
}


DEMO_RANK = 3  # not the very highest


@cache
def representative(code: str) -> tuple[str, str, str]:
    """A (system, code, name) that the mapping tables lead to the vocabulary's `code`."""
    for table, system in SYSTEM_OF.items():
        for row in table_rows(table):
            if row["code"] == code and (table != "icd10" or concepts()[code].role != "static"):
                pattern = row["pattern"].rstrip("*").rstrip(".").split("-")[0] if table == "icd10" else row["pattern"]
                return system, pattern.rstrip("*").rstrip("."), concepts()[code].name
    raise LookupError(f"no table in {TABLES.name} leads to {code}")


def patient_bundle(
    population: Population,
    person: int,
    patient_id: str,
    family: str,
    given: str,
    index_date: date,
    birth_date: date | None = None,
) -> dict[str, Any]:
    """The record of one simulated person up to `index_date`.

    Parameters
    ----------
    birth_date
        By default what the simulated age makes it.
    """
    born = birth_date or index_date - timedelta(days=round(365.25 * float(population.age[person])))
    patient = {
        "resourceType": "Patient",
        "id": "patient",
        "identifier": [
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]},
                "value": patient_id,
            }
        ],
        "name": [{"family": family, "given": [given]}],
        "gender": "female" if population.female[person] else "male",
        "birthDate": born.isoformat(),
    }
    resources = [patient, *_events(population, person, index_date), *_static(population, person, index_date)]
    entries = [
        {"fullUrl": f"urn:uuid:{_uuid(patient_id, number)}", "resource": r} for number, r in enumerate(resources)
    ]
    for entry in entries[1:]:
        entry["resource"]["subject"] = {"reference": entries[0]["fullUrl"]}  # type: ignore[index]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _uuid(*names: object) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, "condyle simulated|" + "|".join(map(str, names)))


def _events(population: Population, person: int, index_date: date) -> list[dict[str, Any]]:
    mine = population.events.where(population.events.person == person)
    first = index_date - timedelta(weeks=TIMELINE)
    resources = []
    seen: Counter[tuple[int, int]] = Counter()
    for number in np.lexsort((mine.row, mine.week)):
        row, week = int(mine.row[number]), int(mine.week[number])
        code, concept = CODES[row], concepts()[CODES[row]]
        # the same code twice in a week is on two days of it
        day = (first + timedelta(weeks=week, days=seen[row, week] % 7)).isoformat()
        seen[row, week] += 1
        coded = _concept(code)
        if concept.kind == "medication":
            supply = {"value": float(mine.value[number]), "unit": "d", "code": "d"}
            resources.append(
                {
                    "resourceType": "MedicationRequest",
                    "status": "completed",
                    "intent": "order",
                    "medicationCodeableConcept": coded,
                    "authoredOn": day,
                    "dispenseRequest": {"expectedSupplyDuration": supply},
                }
            )
        elif concept.kind == "procedure":
            resources.append(
                {"resourceType": "Procedure", "status": "completed", "code": coded, "performedDateTime": day}
            )
        else:
            resources.append({"resourceType": "Condition", "code": coded, "onsetDateTime": day})
    return resources


def _static(population: Population, person: int, index_date: date) -> list[dict[str, Any]]:
    day = (index_date - timedelta(weeks=20)).isoformat()
    resources = []
    for name, (code, unit) in STATIC_CODES.items():
        value = float(population.static[name][person])
        if not np.isnan(value):
            number = float(np.exp(value)) if name == "crp" else value
            quantity = {"value": round(number, 4), "unit": unit, "code": unit, "system": "http://unitsofmeasure.org"}
            resources.append(
                {
                    "resourceType": "Observation",
                    "status": "final",
                    "code": _concept(code),
                    "effectiveDateTime": day,
                    "valueQuantity": quantity,
                }
            )
    return resources


def _concept(code: str) -> dict[str, Any]:
    system, value, display = representative(code)
    return {"coding": [{"system": system, "code": value, "display": display}]}


def demo_person(persons: int = 3000, seed: int = 17) -> tuple[Population, int]:
    """A simulated woman of 59 to 66 with full history, and a risk well above that of her peers."""
    people = simulate(persons, seed)
    raised = people.history_effect + 0.085 * np.nan_to_num(people.static["bmi"])
    fits = people.female & (people.age >= 59) & (people.age < 66) & (people.observed_weeks == 157)
    fits &= ~np.isnan(people.static["bmi"]) & (people.injury > 0)
    ranked = [int(n) for n in np.argsort(-np.where(fits, raised, -99.0))]
    return people, ranked[DEMO_RANK]
