"""FHIR R4 bundles: every shared one, and what each resource becomes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_sr.errors import UnsuitableInput
from pipelines.context import CodedEvent
from pipelines.knee_oa_risk.matrix import from_context
from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.simulation.sample import patient_bundle
from pipelines.knee_oa_risk.vocabulary import translate
from pipelines.records.code_systems import family
from pipelines.records.fhir import read_bundle
from pipelines.records.record import DAY_UNKNOWN

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "identifier": [{"system": "urn:h", "value": "4711"}],
    "name": [{"family": "Doe", "given": ["Jane", "Q"]}],
    "gender": "female",
    "birthDate": "1960-05-04",
}
SUBJECT = {"reference": "Patient/p"}
SNOMED = "http://snomed.info/sct"


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in (PATIENT, *resources)]}


def events_of(*resources: dict[str, Any]) -> tuple[CodedEvent, ...]:
    (record,) = read_bundle(bundle(*resources), {}).records
    return record.events


def coded(code: str, system: str = SNOMED) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


FILES = {  # name: whether osteoarthritis of the knee is on record, found by reading the file for 239873007
    "fhir-control/Antony_Anderson_88fedc82-1cc1-4e01-9ef1-145bbf149bb0": False,
    "fhir-control/Edward_Gulgowski_43481611-2459-44f5-ab20-4b142dac160f": False,
    "fhir-control/Garrett_Thompson_5a72e290-8102-4c8a-84f7-f838387508b2": False,
    "fhir-knee-oa/Ali_Harris_eed1d00b-7665-4da3-88b7-c37cfb2ed245": True,
    "fhir-knee-oa/Chauncey_Johnston_f4673866-81fb-411a-8486-0c27f2a5b480": True,
    "fhir-knee-oa/Derek_Becker_3c7d3369-55b5-420b-83d3-c5dda319b9c9": True,
    "fhir-knee-oa/Lee_Hegmann_1b0d5fb7-16f1-4f8a-8d3c-8638e353f349": True,
    "fhir-knee-oa/Pierre_Bosco_85812c4a-7b8e-4754-aaa4-64b3aef16f7e": True,
    "fhir-ra/Hershel_Marvin_71a7f9d4-45b7-481b-b571-7ee0caca6e2a": False,
    "fhir-ra/Willy_Koepp_ebbb96ce-c538-4ac4-ad6a-7c709ef6639c": False,
}


@pytest.mark.parametrize("name", FILES)
def test_every_shared_bundle_comes_in_whole_and_every_diagnosis_and_drug_of_it_is_known(
    shared_data: Path, name: Any
) -> None:
    content = json.loads((shared_data / "emr" / f"{name}.json").read_text(encoding="utf-8"))
    imported = read_bundle(content, {})
    (record,) = imported.records
    assert not imported.refused
    kinds = [entry["resource"]["resourceType"] for entry in content["entry"]]
    for resource, kind in (("Condition", "condition"), ("MedicationRequest", "medication"), ("Encounter", "encounter")):
        assert sum(event.kind == kind for event in record.events) == kinds.count(resource)
    mapped, coverage = translate(record.events)
    assert coverage.unknown == 0
    assert any(found.concept.code == "KNEE_OA" for found in mapped) == FILES[name]
    assert any(found.concept.code == "RHEUMATOID" for found in mapped) == name.startswith("fhir-ra")
    assert record.identity.sex == "M"
    assert record.identity.birth_date is not None
    assert record.identity.family_name


def test_a_simulated_person_comes_through_a_bundle_as_the_network_would_have_seen_them() -> None:
    people, day = simulate(12, 3), date(2026, 1, 5)
    batch = from_population(people)
    for person in range(12):
        (record,) = read_bundle(patient_bundle(people, person, "X", "F", "G", day), {}).records
        seen = from_context(record.context(day)).batch
        assert np.allclose(seen.dense()[0], batch.dense(np.array([person]))[0], atol=1e-5)
        # history is counted from the first entry, which may be weeks after the person was first seen
        assert np.allclose(seen.static[0], batch.static[person], atol=0.05)


def test_a_condition_has_onset_and_end() -> None:
    resource = {
        "resourceType": "Condition",
        "subject": SUBJECT,
        "code": coded("38341003"),
        "onsetDateTime": "2019-03-04T10:00:00+01:00",
        "abatementDateTime": "2020-01",
    }
    (event,) = events_of(resource)
    assert (event.kind, event.start, event.end) == ("condition", date(2019, 3, 4), date(2020, 1, 1))


@pytest.mark.parametrize("status", ["entered-in-error", "refuted"])
def test_what_is_marked_as_not_true_is_left_out_and_counted(status: str) -> None:
    resource = {
        "resourceType": "Condition",
        "subject": SUBJECT,
        "code": coded("38341003"),
        "onsetDateTime": "2019-03-04",
        "verificationStatus": coded(status, "http://terminology.hl7.org/CodeSystem/condition-ver-status"),
    }
    imported = read_bundle(bundle(resource), {})
    assert imported.events == 0
    assert sum(imported.refused.values()) == 1


def test_the_better_known_of_several_codings_is_taken() -> None:
    concept = {"coding": [{"system": "urn:local", "code": "x"}, {"system": SNOMED, "code": "38341003"}]}
    (event,) = events_of(
        {"resourceType": "Condition", "subject": SUBJECT, "code": concept, "recordedDate": "2019-03-04"}
    )
    assert (event.system, event.code) == (SNOMED, "38341003")


@pytest.mark.parametrize(
    ("supply", "days"),
    [
        ({"value": 4, "unit": "wk", "code": "wk"}, 28.0),
        ({"value": 30}, 30.0),
        ({"value": 2, "unit": "Weeks"}, 14.0),
        ({"value": 48, "unit": "hours"}, 2.0),
        ({"value": 2880, "unit": "minutes"}, 2.0),
        ({"value": 172800, "unit": "s"}, 2.0),
        ({"value": 3, "unit": "Monate"}, None),
        ({"value": 30, "unit": "tablets", "code": "{tbl}"}, None),
        ({"unit": "d"}, None),
    ],
)
def test_a_supply_is_days_where_its_unit_is_known(supply: Any, days: float | None) -> None:
    (event,) = events_of({**DRUG, "dispenseRequest": {"expectedSupplyDuration": supply}})
    assert event.days_supply == (days if days is None else pytest.approx(days))


def test_a_drug_is_found_by_reference() -> None:
    drug = {"resourceType": "Medication", "id": "m", "code": coded("M01AE01", "http://www.whocc.no/atc")}
    request = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "subject": SUBJECT,
        "medicationReference": {"reference": "Medication/m"},
        "authoredOn": "2022-02-03",
    }
    (event,) = events_of(drug, request)
    assert (event.code, event.start) == ("M01AE01", date(2022, 2, 3))


def test_an_observation_gives_its_components_too() -> None:
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "subject": SUBJECT,
        "code": coded("55284-4", "http://loinc.org"),
        "effectiveDateTime": "2022-02-03",
        "component": [{"code": coded("8480-6", "http://loinc.org"), "valueQuantity": {"value": 130, "unit": "mm[Hg]"}}],
    }
    panel, pressure = events_of(resource)
    assert (panel.code, panel.value) == ("55284-4", None)
    assert (pressure.code, pressure.value, pressure.unit) == ("8480-6", 130.0, "mm[Hg]")


def test_arthritis_in_the_family_becomes_a_family_history() -> None:
    resource = {
        "resourceType": "FamilyMemberHistory",
        "status": "completed",
        "patient": SUBJECT,
        "date": "2020-01-01",
        "relationship": coded("MTH", "http://terminology.hl7.org/CodeSystem/v3-RoleCode"),
        "condition": [{"code": coded("239873007")}],
    }
    mapped, _ = translate(events_of(resource))
    assert [found.concept.code for found in mapped] == ["FAMILY_HISTORY"]


def test_one_bad_resource_costs_nobody_the_rest_and_its_reason_holds_no_value() -> None:
    bad = {"resourceType": "Condition", "subject": SUBJECT, "onsetDateTime": "SECRET-VALUE", "code": coded("38341003")}
    good = {**bad, "onsetDateTime": "2019-03-04"}
    imported = read_bundle(bundle(bad, good), {})
    assert imported.events == 1
    ((reason, count),) = imported.refused.items()
    assert count == 1
    assert reason.startswith("Condition: onsetDateTime")
    assert "SECRET" not in reason


def test_a_resource_of_a_patient_who_is_not_in_the_bundle_is_left_out() -> None:
    other = {"resourceType": "Condition", "subject": {"reference": "Patient/other"}, "code": coded("38341003")}
    imported = read_bundle(bundle({**other, "onsetDateTime": "2019-03-04"}), {})
    assert imported.events == 0
    assert list(imported.refused) == ["Condition: of a patient who is not in the bundle"]


def test_two_patients_in_a_bundle_keep_their_own() -> None:
    second = {**PATIENT, "id": "q", "identifier": [{"value": "4712"}]}
    conditions = [
        {
            "resourceType": "Condition",
            "subject": {"reference": f"Patient/{who}"},
            "code": coded(code),
            "onsetDateTime": d,
        }
        for who, code, d in (("p", "38341003", "2019-01-01"), ("q", "44054006", "2020-01-01"))
    ]
    records = read_bundle(bundle(second, *conditions), {}).records
    assert {r.identity.patient_id: r.events[0].code for r in records} == {"4711": "38341003", "4712": "44054006"}


@pytest.mark.parametrize("content", [{}, {"resourceType": "Patient"}, {"resourceType": "Bundle", "entry": 3}])
def test_what_is_no_bundle_is_refused(content: Any) -> None:
    with pytest.raises(UnsuitableInput, match="not a FHIR bundle"):
        read_bundle(content, {})


def test_a_bundle_without_an_identifier_that_counts_is_refused() -> None:
    with pytest.raises(UnsuitableInput, match="no patient with an identifier"):
        read_bundle(bundle(), {"urn:other": "X"})


# ---- what is not so, or not so any more
CONDITION = {"resourceType": "Condition", "subject": SUBJECT, "code": coded("38341003"), "onsetDateTime": "2020-01-02"}
DRUG = {
    "resourceType": "MedicationRequest",
    "status": "active",
    "intent": "order",
    "subject": SUBJECT,
    "medicationCodeableConcept": coded("M01AE01", "http://www.whocc.no/atc"),
    "authoredOn": "2020-01-02",
}


@pytest.mark.parametrize("mark", ["entered-in-error", "refuted"])
def test_a_condition_that_is_marked_as_not_true_is_taken_back(mark: str) -> None:
    (record,) = read_bundle(bundle({**CONDITION, "verificationStatus": coded(mark, "x")}), {}).records
    assert record.events == ()
    assert [event.code for event in record.retracted] == ["38341003"]
    (before,) = read_bundle(bundle(CONDITION), {}).records
    assert before.merged(record).events == ()


@pytest.mark.parametrize(
    "resource",
    [
        {**CONDITION, "verificationStatus": coded("differential", "x")},
        {**DRUG, "status": "draft"},
        {**DRUG, "intent": "proposal"},
    ],
)
def test_what_was_only_thought_of_is_not_in_the_record_and_takes_nothing_back(resource: Any) -> None:
    (record,) = read_bundle(bundle(resource), {}).records
    assert (record.events, record.retracted) == ((), ())


def test_an_order_not_to_give_a_drug_is_no_drug() -> None:
    assert events_of({**DRUG, "doNotPerform": True}) == ()
    assert len(events_of(DRUG)) == 1


def test_a_death_without_its_day_is_a_death() -> None:
    content = bundle()
    content["entry"][0] = {"resource": {**PATIENT, "deceasedBoolean": True}}
    assert read_bundle(content, {}).records[0].died == DAY_UNKNOWN
    content["entry"][0] = {"resource": {**PATIENT, "deceasedBoolean": False}}
    assert read_bundle(content, {}).records[0].died is None


def test_the_day_is_that_of_the_senders_clock() -> None:
    late = {**CONDITION, "onsetDateTime": "2020-01-01T23:30:00-08:00"}
    assert events_of(late)[0].start == date(2020, 1, 1)


def test_values_that_no_number_can_hold_are_no_values() -> None:
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "subject": SUBJECT,
        "code": coded("39156-5", "http://loinc.org"),
        "effectiveDateTime": "2020-01-01",
        "valueQuantity": {"value": "1E999"},
    }
    assert all(event.value is None for event in events_of(resource))


def test_entries_that_are_no_resources_cost_the_others_nothing() -> None:
    content = bundle(CONDITION)
    content["entry"] += [1, None, {"resource": 5}, {"resource": {"resourceType": ["x"]}}, {"fullUrl": {}}]
    assert len(read_bundle(content, {}).records[0].events) == 1


# ---- references, as bundle.html#references has them
SERVER = "http://server.example/fhir/"
REQUEST = {k: v for k, v in DRUG.items() if k != "medicationCodeableConcept"}
MEDICATION = {"resourceType": "Medication", "id": "m", "code": coded("M01AE01", "http://www.whocc.no/atc")}


def served(*resources: dict[str, Any], base: str = SERVER) -> dict[str, Any]:
    entries = [{"fullUrl": f"{base}{r['resourceType']}/{r['id']}", "resource": r} for r in (PATIENT, *resources)]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


def about(reference: dict[str, Any]) -> dict[str, Any]:
    return {**CONDITION, "id": "c", "subject": reference}


@pytest.mark.parametrize(
    "reference",
    [
        {"reference": "Patient/p"},
        {"reference": f"{SERVER}Patient/p"},
        {"reference": "Patient/p/_history/2"},
        {"reference": f"{SERVER}Patient/p/_history/2"},
        {"reference": "Patient?identifier=urn:h|4711"},
        {"identifier": {"system": "urn:h", "value": "4711"}},
        {"display": "the patient"},  # the only one there is
    ],
)
def test_references_to_a_served_patient_are_followed(reference: Any) -> None:
    assert len(read_bundle(served(about(reference)), {}).records[0].events) == 1


@pytest.mark.parametrize(
    "reference",
    [
        {"reference": "http://other.example/fhir/Patient/p"},  # another server's patient of that id
        {"reference": "urn:uuid:00000000-0000-0000-0000-000000000001"},
        {"reference": "#p"},
        {"reference": "Group/p"},
        {"identifier": {"system": "urn:other", "value": "4711"}},
    ],
)
def test_references_that_lead_to_nobody_in_the_bundle_are_not_guessed(reference: Any) -> None:
    imported = read_bundle(served(about(reference)), {})
    assert imported.events == 0
    assert imported.refused == {"Condition: of a patient who is not in the bundle": 1}


def test_two_servers_patients_of_one_id_keep_their_own() -> None:
    other = "http://other.example/fhir/"
    content = served(about({"reference": "Patient/p"}))
    theirs = served({**about({"reference": "Patient/p"}), "code": coded("44054006")}, base=other)
    theirs["entry"][0]["resource"] = {**PATIENT, "identifier": [{"system": "urn:h", "value": "0815"}]}
    content["entry"] += theirs["entry"]
    found = {r.identity.patient_id: [e.code for e in r.events] for r in read_bundle(content, {}).records}
    assert found == {"4711": ["38341003"], "0815": ["44054006"]}


def test_references_by_uuid_are_followed_in_either_case() -> None:
    uuid = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
    content = bundle(about({"reference": uuid.upper().replace("URN:UUID", "urn:uuid")}))
    content["entry"][0]["fullUrl"] = uuid
    assert len(read_bundle(content, {}).records[0].events) == 1


def test_a_patient_inside_a_resource_is_the_one_of_the_bundle_with_their_identifier_or_one_of_their_own() -> None:
    inside = {"resourceType": "Patient", "id": "me", "identifier": [{"system": "urn:h", "value": "4711"}]}
    known = {**about({"reference": "#me"}), "contained": [inside]}
    assert [len(r.events) for r in read_bundle(served(known), {}).records] == [1]
    stranger = {**inside, "identifier": [{"system": "urn:h", "value": "0815"}]}
    records = read_bundle(served({**known, "contained": [stranger]}), {}).records
    assert {r.identity.patient_id: len(r.events) for r in records} == {"4711": 0, "0815": 1}


@pytest.mark.parametrize(
    "reference",
    [
        {"reference": "Medication/m"},
        {"reference": f"{SERVER}Medication/m/_history/7"},
        {"reference": "#inside"},
        {"identifier": {"system": "urn:m", "value": "1"}},
    ],
)
def test_a_drug_is_found_however_it_is_referred_to(reference: Any) -> None:
    drug = {**MEDICATION, "identifier": [{"system": "urn:m", "value": "1"}]}
    request = {**REQUEST, "id": "r", "medicationReference": reference, "contained": [{**MEDICATION, "id": "inside"}]}
    (record,) = read_bundle(served(drug, request), {}).records
    assert [event.code for event in record.events] == ["M01AE01"]


def test_what_is_left_out_is_counted_by_its_reason() -> None:
    resources = [
        {**REQUEST, "id": "1", "medicationReference": {"reference": "Medication/away"}},
        {**CONDITION, "id": "2", "code": {}},
        {**{k: v for k, v in CONDITION.items() if k != "onsetDateTime"}, "id": "3"},
        {**CONDITION, "id": "4", "verificationStatus": coded("differential", "x")},
        {**CONDITION, "id": "5", "verificationStatus": coded("refuted", "x")},
        {**CONDITION, "id": "6", "PatientName": "SECRET"},
    ]
    assert read_bundle(served(*resources), {}).refused == {
        "MedicationRequest: the Medication that it refers to is not in the bundle": 1,
        "Condition: no code and no text": 1,
        "Condition: no date": 1,
        "Condition: only thought of": 1,
        "Condition: marked as not true": 1,
        "Condition: it has an element that FHIR R4 does not have": 1,
    }


# ---- names, dates, editions of ICD-10
@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ([{"use": "old", "family": "Old"}, {"use": "official", "family": "Now"}], "Now"),
        ([{"use": "maiden", "family": "Old"}, {"use": "usual", "family": "Now"}], "Now"),
        ([{"use": "usual", "family": "Usual"}, {"use": "official", "family": "Now"}], "Now"),
        ([{"use": "nickname", "family": "Nick"}, {"family": "Now"}], "Now"),
        ([{"use": "official", "family": "Old", "period": {"end": "2010"}}, {"use": "usual", "family": "Now"}], "Now"),
        ([{"use": "official", "text": "No parts"}, {"use": "usual", "family": "Now"}], "Now"),
        ([{"use": "maiden", "family": "Only"}], "Only"),
    ],
)
def test_the_name_that_is_borne_now_counts(names: Any, kept: str) -> None:
    content = bundle()
    content["entry"][0] = {"resource": {**PATIENT, "name": names}}
    assert read_bundle(content, {}).records[0].identity.family_name == kept


@pytest.mark.parametrize(("told", "precision"), [("1960", "year"), ("1960-05", "month"), ("1960-05-04", "day")])
def test_a_birth_date_counts_as_far_as_it_is_known(told: str, precision: str) -> None:
    content = bundle()
    content["entry"][0] = {"resource": {**PATIENT, "birthDate": told}}
    who = read_bundle(content, {}).records[0].identity
    assert who.birth_precision == precision
    assert who.mismatch(replace(who, birth_date=date(1960, 5, 4), birth_precision="day")) is None
    assert who.mismatch(replace(who, birth_date=date(1961, 5, 4), birth_precision="day")) == "birth date"


YEARS = {"value": 53, "unit": "years", "code": "a", "system": "http://unitsofmeasure.org"}


@pytest.mark.parametrize(
    ("onset", "start", "precision"),
    [
        ({"onsetDateTime": "2019-03"}, date(2019, 3, 1), "month"),
        ({"onsetDateTime": "2019"}, date(2019, 1, 1), "year"),
        ({"onsetPeriod": {"start": "2019-03-04"}}, date(2019, 3, 4), "day"),
        ({"onsetAge": YEARS}, date(2013, 1, 1), "year"),
        ({"onsetAge": {**YEARS, "value": 10, "code": "mo", "unit": "months"}}, date(1961, 3, 1), "month"),
        ({"onsetAge": {"value": 53, "unit": "Years", "code": "258707000"}}, date(2013, 1, 1), "year"),
        ({"onsetAge": {"value": 53, "unit": "Jahre"}, "recordedDate": "2020-01-02"}, date(2020, 1, 2), "day"),
        ({"onsetRange": {"low": YEARS}}, date(2013, 1, 1), "year"),
        ({"onsetString": "since about 2012"}, date(2012, 1, 1), "year"),
        ({"onsetString": "2012-05-06"}, date(2012, 5, 6), "day"),
        ({"onsetString": "2012 or 2013", "recordedDate": "2020-01-02"}, date(2020, 1, 2), "day"),
        ({"onsetString": "in childhood", "recordedDate": "2020-01-02"}, date(2020, 1, 2), "day"),
    ],
)
def test_a_condition_begins_when_it_is_said_to_in_any_of_the_ways(onset: Any, start: date, precision: str) -> None:
    (event,) = events_of({**{k: v for k, v in CONDITION.items() if k != "onsetDateTime"}, **onset})
    assert (event.start, event.precision) == (start, precision)


@pytest.mark.parametrize("age", [YEARS, {**YEARS, "value": 600, "code": "mo", "unit": "months"}])
def test_an_age_that_leads_beyond_the_calendar_costs_the_rest_of_the_bundle_nothing(age: Any) -> None:
    without = {k: v for k, v in CONDITION.items() if k != "onsetDateTime"}
    content = bundle({**without, "onsetAge": age}, CONDITION)
    content["entry"][0] = {"resource": {**PATIENT, "birthDate": "9990-01-01"}}
    imported = read_bundle(content, {})
    assert [event.start for event in imported.records[0].events] == [date(2020, 1, 2)]
    assert imported.refused == {"Condition: no date": 1}


@pytest.mark.parametrize(
    "system",
    [
        "http://hl7.org/fhir/sid/icd-10",
        "http://hl7.org/fhir/sid/icd-10-cm",
        "http://hl7.org/fhir/sid/icd-10-am",
        "http://hl7.org/fhir/sid/icd-10-nl",
        "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
        "http://fhir.de/CodeSystem/dimdi/icd-10-gm|2019",
        "https://smt.esante.gouv.fr/terminologie-cim-10/",
        "http://terminology.hl7.org/CodeSystem/icd10-CA",
        "urn:oid:2.16.840.1.113883.6.3",
        "urn:oid:2.16.840.1.113883.6.3.2",
        "urn:oid:2.16.840.1.113883.6.90",
        "urn:oid:2.16.840.1.113883.6.135",
        "urn:oid:1.2.276.0.76.5.409",
    ],
)
@pytest.mark.parametrize("code", ["M17.1", "M171", "M17.1+", "M17.10"])
def test_every_edition_of_icd_10_is_mapped(system: str, code: str) -> None:
    concept = {"coding": [{"system": "urn:local", "code": "x"}, {"system": system, "code": code}]}
    mapped, coverage = translate(events_of({**CONDITION, "code": concept}))
    assert [found.concept.code for found in mapped] == ["KNEE_OA"]
    assert coverage.unknown == 0


@pytest.mark.parametrize(
    ("system", "code"),
    [
        ("http://hl7.org/fhir/sid/icd-10-pcs", "0SRC0J9"),  # procedures
        ("http://www.cms.gov/Medicare/Coding/ICD10/PCS", "M17.1"),
        ("urn:oid:1.2.276.0.76.5.357", "5-822.00"),  # OPS
        ("http://example.org/micd-10", "M17.1"),
        ("http://example.org/icd-101", "M17.1"),
    ],
)
def test_other_systems_with_like_names_are_not(system: str, code: str) -> None:
    assert family(system, code) is None


@pytest.mark.parametrize(("certainty", "events"), [("G", 1), ("Z", 1), ("V", 0), ("A", 0)])
def test_a_german_diagnosis_that_is_excluded_or_suspected_is_none(certainty: str, events: int) -> None:
    extension = {
        "url": "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit",
        "valueCoding": {
            "system": "https://fhir.kbv.de/CodeSystem/KBV_CS_SFHIR_ICD_DIAGNOSESICHERHEIT",
            "code": certainty,
        },
    }
    coding = {"system": "http://fhir.de/CodeSystem/bfarm/icd-10-gm", "code": "M17.1", "extension": [extension]}
    assert len(events_of({**CONDITION, "code": {"coding": [coding]}})) == events


def test_a_supply_of_hundreds_of_digits_is_none() -> None:
    dispense = {
        "resourceType": "MedicationDispense",
        "subject": {"reference": "Patient/p"},
        "status": "completed",
        "medicationCodeableConcept": {"text": "x"},
        "whenHandedOver": "2024-01-01",
        "daysSupply": {"value": int("9" * 400)},
    }
    patient = {"resourceType": "Patient", "id": "p", "identifier": [{"value": "N1"}]}
    entries = [{"resource": resource} for resource in (patient, dispense)]
    (record,) = read_bundle({"resourceType": "Bundle", "entry": entries}, {}).records
    assert [event.days_supply for event in record.events] == [None]
