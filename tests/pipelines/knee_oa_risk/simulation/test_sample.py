"""A simulated person as a FHIR bundle, read again as a real one is."""

from __future__ import annotations

from datetime import date

import pytest

from pipelines.context import CodedEvent
from pipelines.knee_oa_risk.matrix import from_context
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.simulation.rates import CODES
from pipelines.knee_oa_risk.simulation.sample import STATIC_CODES, demo_person, patient_bundle, representative
from pipelines.knee_oa_risk.vocabulary import concept_of, concepts
from pipelines.records.fhir import read_bundle

DAY = date(2026, 1, 5)


@pytest.mark.parametrize("code", sorted({*CODES, *(code for code, _ in STATIC_CODES.values())}))
def test_the_code_that_stands_for_a_row_leads_back_to_it(code: str) -> None:
    system, value, display = representative(code)
    medication = concepts()[code].kind == "medication"
    found = concept_of(CodedEvent("medication" if medication else "condition", system, value, DAY))
    assert found is not None
    assert found[0].name == display == concepts()[code].name


def test_a_code_without_a_table_is_an_error() -> None:
    with pytest.raises(LookupError, match="leads to NO_SUCH_CODE"):
        representative("NO_SUCH_CODE")


def test_the_bundle_says_who_it_is_and_holds_the_values_as_they_were_taken() -> None:
    """That it gives the simulation's matrix is tested with the reader, in `tests/pipelines/records/test_fhir.py`."""
    people = simulate(40, 3)
    for person in range(12):
        (record,) = read_bundle(patient_bundle(people, person, "P-1", "Doe", "Jane", DAY), {}).records
        assert (record.identity.family_name, record.identity.sex) == ("Doe", "F" if people.female[person] else "M")
        read = from_context(record.context(DAY))
        assert read.age == pytest.approx(people.age[person], abs=0.01)
        for name in STATIC_CODES:
            assert read.static[name] == pytest.approx(people.static[name][person], abs=1e-3, nan_ok=True), name
        assert all(event.start < DAY for event in record.events)


def test_every_entry_belongs_to_the_patient_and_the_same_person_gives_the_same_bundle() -> None:
    people = simulate(40, 3)
    bundle = patient_bundle(people, 7, "P-1", "Doe", "Jane", DAY)
    patient, *entries = bundle["entry"]
    assert {entry["resource"]["subject"]["reference"] for entry in entries} == {patient["fullUrl"]}
    assert len({entry["fullUrl"] for entry in bundle["entry"]}) == len(bundle["entry"])
    assert patient_bundle(people, 7, "P-1", "Doe", "Jane", DAY) == bundle


def test_the_person_of_the_demo_is_a_woman_of_59_to_66_with_a_full_record_and_an_injury() -> None:
    people, person = demo_person()
    assert people.female[person]
    assert 59 <= people.age[person] < 66
    assert people.observed_weeks[person] == 157
    assert people.injury[person] > 0
