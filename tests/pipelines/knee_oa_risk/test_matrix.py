"""From records to the network's input: weeks, scales, wash-out, units, missing values."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from pipelines.context import ClinicalContext, CodedEvent
from pipelines.knee_oa_risk.matrix import STATIC_NAMES, Batch, age_spline, from_context
from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.vocabulary import matrix_codes
from pipelines.knee_oa_risk.window import GAP, WEEKS

INDEX = date(2024, 6, 3)
LAST = INDEX - timedelta(weeks=GAP)  # first day that is not read
FIRST = LAST - timedelta(weeks=WEEKS)
ICD10, ATC, LOINC = "http://hl7.org/fhir/sid/icd-10", "http://www.whocc.no/atc", "http://loinc.org"


def context(*events: CodedEvent, sex: str = "F") -> ClinicalContext:
    return ClinicalContext(INDEX, date(1960, 1, 1), sex, events)  # type: ignore[arg-type]


def cell(record: Any, code: str, week: int) -> float:
    return float(record.batch.dense()[0, matrix_codes().index(code), week])


def test_days_with_a_diagnosis_are_counted_in_sevenths_of_a_week() -> None:
    days = [CodedEvent("condition", ICD10, "I10", FIRST + timedelta(weeks=10, days=n)) for n in (0, 3, 6)]
    after = CodedEvent("condition", ICD10, "I10", FIRST + timedelta(weeks=11))
    record = from_context(context(*days, after))
    assert cell(record, "HYPERTENSION", 10) == pytest.approx(3 / 7)
    assert cell(record, "HYPERTENSION", 11) == pytest.approx(1 / 7)
    assert record.batch.dense().sum() == pytest.approx(4 / 7)


def test_days_of_supply_are_counted_in_twentyeighths_and_a_cell_holds_at_most_one() -> None:
    day = FIRST + timedelta(weeks=4)
    one = CodedEvent("medication", ATC, "M01AE01", day, days_supply=14)
    more = replace(one, start=day + timedelta(days=1), days_supply=90)
    assert cell(from_context(context(one)), "NSAID", 4) == pytest.approx(0.5)
    assert cell(from_context(context(one, more)), "NSAID", 4) == 1.0


def test_a_prescription_with_an_end_and_no_supply_is_refilled_every_four_weeks() -> None:
    day = FIRST + timedelta(weeks=20)
    record = from_context(context(CodedEvent("medication", ATC, "C10AA01", day, day + timedelta(days=100))))
    weeks = np.flatnonzero(record.batch.dense()[0, matrix_codes().index("STATIN")])
    assert weeks.tolist() == [20, 24, 28, 32]


def test_the_last_weeks_are_not_read() -> None:
    inside = CodedEvent("condition", ICD10, "I10", LAST - timedelta(days=1))
    outside = CodedEvent("condition", ICD10, "E11", LAST)
    record = from_context(context(inside, outside))
    assert cell(record, "HYPERTENSION", WEEKS - 1) > 0
    assert record.batch.dense()[0, matrix_codes().index("DIABETES")].sum() == 0


def test_knee_complaints_are_seen_and_not_used() -> None:
    pain = CodedEvent("condition", ICD10, "M25.561", FIRST + timedelta(weeks=100))
    record = from_context(context(pain))
    assert record.complaints == 1
    assert record.batch.dense().sum() == 0


def test_the_outcome_before_the_index_date_is_noticed_and_after_it_is_not() -> None:
    oa = CodedEvent("condition", ICD10, "M17.0", INDEX - timedelta(days=2000))
    assert from_context(context(oa)).outcome_before
    assert not from_context(context(replace(oa, start=INDEX + timedelta(days=1)))).outcome_before


@pytest.mark.parametrize(
    ("code", "value", "unit", "name", "expected"),
    [
        ("39156-5", 31.0, "kg/m2", "bmi", 31.0),
        ("3084-1", 416.4, "umol/L", "urate", 7.0),  # 1 mg/dL of urate is 59.48 umol/L
        ("1988-5", 0.5, "mg/dL", "crp", np.log(5.0)),  # log of mg/L
        ("4548-4", 6.1, "%", "hba1c", 6.1),
    ],
)
def test_observations_are_brought_to_the_unit_of_the_model(
    code: str, value: float, unit: str, name: str, expected: Any
) -> None:
    event = CodedEvent("observation", LOINC, code, INDEX - timedelta(days=30), value=value, unit=unit)
    assert from_context(context(event)).static[name] == pytest.approx(expected, rel=1e-3)


def test_body_mass_index_is_worked_out_where_only_weight_and_height_are_there() -> None:
    weight = CodedEvent("observation", LOINC, "29463-7", INDEX - timedelta(days=30), value=90, unit="kg")
    height = CodedEvent("observation", LOINC, "8302-2", INDEX - timedelta(days=900), value=1.5, unit="m")
    assert from_context(context(weight, height)).static["bmi"] == pytest.approx(40.0)


def test_the_latest_value_counts_and_an_old_one_does_not() -> None:
    values = [
        CodedEvent("observation", LOINC, "39156-5", INDEX - timedelta(days=days), value=value, unit="kg/m2")
        for days, value in ((20, 29.0), (400, 35.0))
    ]
    assert from_context(context(*values)).static["bmi"] == 29.0
    old = replace(values[0], start=INDEX - timedelta(days=9 * 366))
    assert np.isnan(from_context(context(old)).static["bmi"])


def test_an_unknown_sex_stands_in_the_middle_and_missing_values_are_flagged() -> None:
    vector = from_context(context(sex="U")).batch.static[0]
    assert vector[STATIC_NAMES.index("female")] == 0.5
    assert all(vector[STATIC_NAMES.index(f"{name} missing")] == 1.0 for name in ("bmi", "kl", "crp"))


def test_history_counts_from_the_first_entry_of_any_kind() -> None:
    first_seen = CodedEvent("encounter", "", "visit", LAST - timedelta(weeks=30))
    assert from_context(context(first_seen)).observed_weeks == 30
    assert from_context(context()).observed_weeks == 0


def test_the_age_spline_is_linear_below_the_first_and_above_the_last_knot() -> None:
    for low, high in ((18.0, 37.0), (79.0, 95.0)):
        values = age_spline(np.linspace(low, high, 9))
        assert np.abs(np.diff(values, n=2, axis=0)).max() < 1e-9


def test_cells_and_dense_matrices_hold_the_same() -> None:
    people = simulate(30, 2)
    batch = from_population(people)
    dense = batch.dense(np.array([4, 7, 29]))
    again = np.zeros_like(dense)
    number, where = batch.cells(np.array([4, 7, 29]))
    again[number, batch.row[where], batch.week[where]] = batch.value[where]
    assert np.array_equal(dense, again)
    assert dense.shape == (3, len(matrix_codes()), WEEKS)
    # worked out event by event
    events = people.events.where((people.events.person == 7) & (people.events.row == 4))
    first = 209 - GAP - WEEKS
    for week in range(WEEKS):
        mine = events.value[events.week == first + week].sum() / 7
        assert dense[1, 4, week] == pytest.approx(min(mine, 1.0))


def test_collecting_adds_up_what_falls_into_one_cell() -> None:
    batch = Batch.collect(
        np.array([1, 0, 1]),
        np.array([2, 1, 2]),
        np.array([3, 0, 3]),
        np.array([0.3, 0.2, 0.4]),
        np.zeros((2, 1), np.float32),
        3,
    )
    assert batch.person.tolist() == [0, 1]
    assert batch.value.tolist() == pytest.approx([0.2, 0.7])


# ---- what a record should not hold, and does
def test_a_family_history_without_a_date_is_no_history_of_the_patient() -> None:
    undated = CodedEvent("condition", "http://hl7.org/fhir/sid/icd-10-cm", "Z82.61", date.min)
    record = from_context(context(undated))
    assert record.observed_weeks == 0
    assert record.static["family"] == 1.0
    before_birth = CodedEvent("encounter", "", "visit", date(1950, 1, 1))
    assert from_context(context(before_birth)).observed_weeks == 0


def test_the_same_diagnosis_from_two_sources_counts_once_a_day() -> None:
    day = FIRST + timedelta(weeks=10)
    told = CodedEvent("condition", ICD10, "I10", day, display="Hypertension")
    again = CodedEvent("condition", "http://hl7.org/fhir/sid/icd-9-cm", "401.9", day, display="HYPERTENSION NOS")
    assert from_context(context(told, again)).batch.value.tolist() == pytest.approx([1 / 7])


def test_the_same_prescription_from_two_sources_counts_once_with_the_longer_supply() -> None:
    day = FIRST + timedelta(weeks=4)
    asked = CodedEvent("medication", ATC, "M01AE01", day)
    given = replace(asked, days_supply=7.0, display="from the pharmacy")
    assert cell(from_context(context(asked, given)), "NSAID", 4) == pytest.approx(0.25)


@pytest.mark.parametrize("supply", [-30.0, 0.0, float("nan")])
def test_a_supply_that_cannot_be_is_taken_as_the_usual_one(supply: Any) -> None:
    event = CodedEvent("medication", ATC, "M01AE01", FIRST + timedelta(weeks=4), days_supply=supply)
    assert cell(from_context(context(event)), "NSAID", 4) == 1.0


def test_a_prescription_without_end_fills_the_window_and_no_more() -> None:
    event = CodedEvent("medication", ATC, "C10AA01", date(1990, 1, 1), date.max)
    filled = np.flatnonzero(from_context(context(event)).batch.dense()[0, matrix_codes().index("STATIN")])
    assert len(filled) in (39, 40)
    assert set(np.diff(filled)) == {4}


@pytest.mark.parametrize(
    ("code", "value", "unit", "name"),
    [
        ("39156-5", 300.0, "kg/m2", "bmi"),
        ("3084-1", 416.0, "", "urate"),  # umol/L without saying so
        ("3084-1", float("inf"), "mg/dL", "urate"),
        ("1988-5", -1.0, "mg/L", "crp"),
        ("4548-4", 48.0, "", "hba1c"),
        ("4548-4", float("nan"), "%", "hba1c"),
    ],
)
def test_a_value_that_nobody_can_have_is_left_out(code: str, value: Any, unit: str, name: str) -> None:
    event = CodedEvent("observation", LOINC, code, INDEX - timedelta(days=30), value=value, unit=unit)
    vector = from_context(context(event)).batch.static
    assert np.isnan(from_context(context(event)).static[name])
    assert np.isfinite(vector).all()


def test_haemoglobin_a1c_in_the_units_of_the_ifcc_is_brought_to_per_cent() -> None:
    event = CodedEvent("observation", LOINC, "4548-4", INDEX - timedelta(days=30), value=48.0, unit="mmol/mol")
    assert from_context(context(event)).static["hba1c"] == pytest.approx(6.5, abs=0.05)
