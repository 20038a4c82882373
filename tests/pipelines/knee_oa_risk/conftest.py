"""A small bundle, and a site's records as OMOP tables."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipelines.knee_oa_risk.simulation.events import TIMELINE
from pipelines.knee_oa_risk.simulation.population import Population, simulate
from pipelines.knee_oa_risk.simulation.rates import CODES
from pipelines.knee_oa_risk.simulation.sample import representative
from pipelines.knee_oa_risk.training import train
from pipelines.knee_oa_risk.vocabulary import concepts

INDEX = date(2008, 1, 7)
FOLLOWED_YEARS = 4.0
VOCABULARY = {
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD10CM",
    "http://www.whocc.no/atc": "ATC",
    "http://snomed.info/sct": "SNOMED",
    "http://loinc.org": "LOINC",
    "http://hl7.org/fhir/sid/icd-9-cm": "ICD9CM",
}
ICD10 = "http://hl7.org/fhir/sid/icd-10"


def omop_folder(folder: Path, people: Population, chosen: list[int]) -> Path:
    """The simulated people as OMOP CDM tables: their records, and what became of them after their index dates."""
    folder.mkdir()
    numbers: dict[str, int] = {}
    tables: dict[str, list[dict[str, object]]] = {
        name: [] for name in ("person", "condition_occurrence", "drug_exposure", "procedure_occurrence", "death")
    }
    tables["observation_period"] = []

    def concept(code: str) -> int:
        return numbers.setdefault(code, len(numbers) + 1)

    for person in chosen:
        born = INDEX - timedelta(days=round(365.25 * float(people.age[person])))
        years, status = float(people.time[person]), int(people.status[person])
        years, status = (years, status) if years < FOLLOWED_YEARS else (FOLLOWED_YEARS, 0)
        end = INDEX + timedelta(days=round(365.25 * years))
        tables["person"].append(
            {
                "person_id": person,
                "gender_concept_id": 8532 if people.female[person] else 8507,
                "birth_datetime": f"{born} 00:00:00",
            }
        )
        mine = people.events.where(people.events.person == person)
        for row, week, value in zip(mine.row, mine.week, mine.value, strict=True):
            day = INDEX - timedelta(weeks=TIMELINE - int(week))
            kind = {"medication": ("drug_exposure", "drug", "drug_exposure_start_date")}.get(
                concepts()[CODES[row]].kind, ("condition_occurrence", "condition", "condition_start_date")
            )
            tables[kind[0]].append(
                {"person_id": person, f"{kind[1]}_concept_id": concept(CODES[row]), kind[2]: day, "days_supply": value}
            )
        if status == 1:
            row = {"person_id": person, "condition_concept_id": concept("KNEE_OA"), "condition_start_date": end}
            tables["condition_occurrence"].append({**row, "days_supply": ""})
        if status == 2:
            tables["death"].append({"person_id": person, "death_date": end})
        tables["observation_period"].append(
            {
                "person_id": person,
                "period_type_concept_id": 0,
                "observation_period_start_date": INDEX - timedelta(weeks=TIMELINE),
                "observation_period_end_date": end,
            }
        )
    tables["concept"] = []
    for code, number in numbers.items():
        system, value, name = representative(code)
        tables["concept"].append(
            {
                "concept_id": number,
                "vocabulary_id": VOCABULARY.get(system, system),
                "concept_code": value,
                "concept_name": name,
            }
        )
    for name, rows in tables.items():
        if rows:
            with (folder / f"{name.upper()}.csv").open("w", newline="") as stream:
                writer = csv.DictWriter(stream, rows[0].keys())
                writer.writeheader()
                writer.writerows(rows)
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle as the command writes it."""
    folder = tmp_path_factory.mktemp("bundle")
    arguments = ["--persons", "3000", "--members", "2", "--epochs", "1", "--threads", "1", "--output", str(folder)]
    assert train.main(arguments) == 0
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Population, list[int]]:
    """A register of 200 people, every second of whom is diagnosed within four years of the index date."""
    people = simulate(4000, 21)
    full = (people.observed_weeks == 157) & (people.age > 36) & (people.age < 85)
    cases = np.flatnonzero(full & (people.status == 1) & (people.time < FOLLOWED_YEARS))[:100]
    others = np.flatnonzero(full & ~((people.status == 1) & (people.time < FOLLOWED_YEARS)))[:100]
    chosen = [int(n) for n in (*cases, *others)]
    return omop_folder(tmp_path_factory.mktemp("site") / "omop", people, chosen), people, chosen
