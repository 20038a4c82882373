"""One patient: risk with interval, what drove it, the page, and when no risk is given."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import BarPanel, LinePanel, Measurement, Result, TablePanel
from dicom_sr.series import Study
from pipelines.context import ClinicalContext, CodedEvent
from pipelines.knee_oa_risk import BUNDLE, WEIGHTS, KneeOaRisk, KneeOaRiskSettings, codes
from pipelines.knee_oa_risk.explain import attribute
from pipelines.knee_oa_risk.matrix import from_context
from pipelines.knee_oa_risk.model import Ensemble, RiskCalibration
from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.bayes import bayes_risk
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.window import HORIZONS

INDEX = date(2026, 1, 5)
ICD10, ATC = "http://hl7.org/fhir/sid/icd-10", "http://www.whocc.no/atc"
NOWHERE = Study("1.2.3", ())


@pytest.fixture(scope="module")
def pipeline() -> KneeOaRisk:
    made = KneeOaRisk(KneeOaRiskSettings())
    made.load()
    return made


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble.load()


def record(*events: CodedEvent, age: int = 60, sex: str = "F") -> ClinicalContext:
    """Three years of yearly check-ups and whatever else is given."""
    visits = [CodedEvent("encounter", "", "visit", INDEX - timedelta(days=days)) for days in range(40, 1300, 300)]
    colds = [CodedEvent("condition", ICD10, "J06.9", INDEX - timedelta(days=days)) for days in (150, 500, 900)]
    born = date(INDEX.year - age, 1, 1)
    return ClinicalContext(INDEX, born, sex, (*visits, *colds, *events), "test")  # type: ignore[arg-type]


def nsaid(months: int) -> list[CodedEvent]:
    return [
        CodedEvent("medication", ATC, "M01AE01", INDEX - timedelta(days=100 + 28 * n), days_supply=28)
        for n in range(months)
    ]


def measured(result: Result, code: str) -> Measurement:
    return next(m for f in result.findings for m in f.measurements if m.name.value == code)


def test_the_result_holds_every_horizon_with_its_interval_and_what_the_reader_must_know(pipeline: KneeOaRisk) -> None:
    result = pipeline.run(NOWHERE, record())
    values = [measured(result, f"OA-RISK-{years}Y") for years in HORIZONS]
    assert [v.value for v in values] == sorted(v.value for v in values)
    for v in values:
        assert v.interval is not None
        assert v.interval[0] < v.value < v.interval[1]
        assert v.interval_level == 0.9
    assert result.from_record is not None
    assert result.from_record.title == codes.OA_RISK_RPT
    assert any("simulated" in text for text in result.limits)
    assert "simulated" in result.model.trained_on
    assert "peers" not in result.conclusion[0]
    assert "within 5 years" in result.conclusion[0]


def test_more_of_what_raises_the_risk_raises_the_risk(pipeline: KneeOaRisk) -> None:
    obese = CodedEvent(
        "observation", "http://loinc.org", "39156-5", INDEX - timedelta(days=200), value=37.0, unit="kg/m2"
    )
    tear = CodedEvent("condition", ICD10, "S83.2", INDEX - timedelta(days=700))
    risks = [
        measured(pipeline.run(NOWHERE, record(*events)), "OA-RISK-5Y").value
        for events in ((), (tear,), (tear, obese), (tear, obese, *nsaid(6)))
    ]
    assert risks == sorted(risks)
    assert risks[-1] > 1.8 * risks[0]


def test_older_people_are_at_greater_risk(pipeline: KneeOaRisk) -> None:
    risks = [measured(pipeline.run(NOWHERE, record(age=age)), "OA-RISK-5Y").value for age in (40, 55, 68)]
    assert risks == sorted(risks)


def test_what_drove_the_risk_adds_up_and_names_the_drug(pipeline: KneeOaRisk, ensemble: Ensemble) -> None:
    context = record(*nsaid(6))
    why = attribute(ensemble, from_context(context))
    total = sum(value for _, value in why.groups())
    assert total == pytest.approx(why.end - why.start, abs=0.005)
    assert why.groups()[0][0] == "Pain treatment" or dict(why.groups())["Pain treatment"] > 0.01
    assert why.leading_codes("Pain treatment")[0] == "Non-steroidal anti-inflammatory drug"
    assert "pain treatment" in " ".join(pipeline.run(NOWHERE, context).conclusion)
    weeks = np.flatnonzero(np.abs(why.by_week("Pain treatment")) > 1e-6)
    filled = np.flatnonzero(from_context(context).batch.dense()[0].sum(axis=0))
    assert set(weeks) <= set(filled)


def test_the_page_shows_risk_drivers_timeline_and_record(pipeline: KneeOaRisk) -> None:
    (page,) = pipeline.run(NOWHERE, record(*nsaid(4))).pages
    kinds = [type(panel) for panel in page.panels]
    assert kinds == [BarPanel, BarPanel, LinePanel, TablePanel]
    bars, table = page.panels[0], page.panels[3]
    assert isinstance(bars, BarPanel)
    assert isinstance(table, TablePanel)
    assert bars.bars[0].highlight
    assert bars.bars[1].label == "peers"
    assert any("not recorded" in row for row in table.rows)


def test_with_too_little_history_no_risk_is_given_and_the_reason_is(pipeline: KneeOaRisk) -> None:
    context = ClinicalContext(
        INDEX, date(1960, 1, 1), "M", (CodedEvent("condition", ICD10, "I10", INDEX - timedelta(weeks=40)),)
    )
    result = pipeline.run(NOWHERE, context)
    assert result.findings == ()
    assert [item.what.value for item in result.not_evaluable] == ["OA-RISK-1Y", "OA-RISK-3Y", "OA-RISK-5Y"]
    assert {item.reason.value for item in result.not_evaluable} == {"WHY-HISTORY"}
    assert "Insufficient history: 27 observed weeks" in result.conclusion[1]  # 40 less 13 of wash-out


def test_with_too_many_unknown_codes_no_risk_is_given(pipeline: KneeOaRisk) -> None:
    strange = [CodedEvent("condition", "urn:local", str(n), INDEX - timedelta(days=200 + n)) for n in range(9)]
    result = pipeline.run(NOWHERE, record(*strange))
    assert result.findings == ()
    assert {item.reason.value for item in result.not_evaluable} == {"WHY-OOD"}
    assert measured(pipeline.run(NOWHERE, record(*strange[:1])), "OA-RISK-UNKNOWN").value == 25.0  # one of four


@pytest.mark.parametrize(
    ("context", "why"),
    [
        (None, "no record"),
        (record(CodedEvent("condition", ICD10, "M17.1", date(2010, 1, 1))), "already on record"),
        (record(age=24), "outside that range"),
        (record(age=95), "outside that range"),
        (replace(record(), birth_date=None), "no birth date"),
        (replace(record(), died=date(2025, 1, 1)), "died"),
    ],
)
def test_what_the_model_cannot_be_asked_is_unsuitable_with_a_reason(
    pipeline: KneeOaRisk, context: Any, why: str
) -> None:
    with pytest.raises(UnsuitableInput, match=why):
        pipeline.run(NOWHERE, context)


def test_a_site_that_sees_half_the_disease_halves_the_odds(pipeline: KneeOaRisk, tmp_path: Path) -> None:
    halved = RiskCalibration((-np.log(2.0),) * 3, (1.0,) * 3, "outcomes of a test")
    halved.write(tmp_path / "site.json")
    here = KneeOaRisk(KneeOaRiskSettings(recalibration=tmp_path / "site.json"))
    before, after = (measured(p.run(NOWHERE, record()), "OA-RISK-5Y").value / 100 for p in (pipeline, here))
    assert after / (1 - after) == pytest.approx(before / (1 - before) / 2, rel=0.01)
    assert here.model.configuration_digest != pipeline.model.configuration_digest
    assert not any("Not recalibrated" in text for text in here.run(NOWHERE, record()).limits)


def test_the_shipped_weights_are_small_and_their_intervals_hold_the_known_risk(ensemble: Ensemble) -> None:
    """The evaluation proper is `condyle evaluate`; this notices a broken bundle."""
    assert (Path(BUNDLE) / WEIGHTS).stat().st_size < 4e6
    people = simulate(3000, seed=77)
    risk, truth = ensemble.risk(from_population(people)), bayes_risk(people)
    inside = (truth >= risk.lower) & (truth <= risk.upper)
    assert inside.mean() > 0.85  # nominal 0.9; 3000 people, three horizons
    assert np.corrcoef(np.log(risk.value[:, -1]), np.log(truth[:, -1]))[0, 1] > 0.95


@pytest.mark.parametrize("index_date", [date.min, date(31, 1, 1), date.max])
def test_a_day_at_the_end_of_the_calendar_is_refused_and_breaks_nothing(pipeline: KneeOaRisk, index_date: Any) -> None:
    with pytest.raises(UnsuitableInput, match="outside that range"):
        pipeline.run(NOWHERE, replace(record(), index_date=index_date))


def test_entries_on_two_days_are_no_history_however_long_ago_the_first_was(pipeline: KneeOaRisk) -> None:
    entries = [CodedEvent("condition", ICD10, "J06.9", INDEX - timedelta(days=days)) for days in (200, 5000)]
    few = ClinicalContext(INDEX, date(1960, 1, 1), "F", tuple(entries))
    result = pipeline.run(NOWHERE, few)
    assert result.conclusion[0] == "No risk is given."
    assert "entries on 1 day in" in result.conclusion[1]


@pytest.mark.parametrize(
    "display", ["Primary osteoarthritis, left knee", "Gonarthrosis, bilateral", "Total knee arthroplasty", "TKR"]
)
def test_the_disease_under_a_code_that_no_table_has_is_known_by_its_name(pipeline: KneeOaRisk, display: str) -> None:
    event = CodedEvent("condition", "urn:local", "X1", INDEX - timedelta(days=900), display=display)
    with pytest.raises(UnsuitableInput, match="already on record"):
        pipeline.run(NOWHERE, record(event))


@pytest.mark.parametrize("display", ["Osteoarthritis of hip", "Knee pain", "Replacement of a dressing"])
def test_another_disease_under_an_unknown_code_is_not_taken_for_it(pipeline: KneeOaRisk, display: str) -> None:
    event = CodedEvent("condition", "urn:local", "X1", INDEX - timedelta(days=900), display=display)
    assert pipeline.run(NOWHERE, record(event)).findings
