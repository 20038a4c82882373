"""From one patient's record to a result: gates, risks with intervals, what drove them, and the page that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from pydicom.sr.coding import Code

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import (
    Bar,
    BarPanel,
    Finding,
    Line,
    LinePanel,
    Measurement,
    Model,
    NotEvaluable,
    Page,
    Prediction,
    RecordReport,
    Result,
    RiskStatement,
    Site,
    TablePanel,
)
from dicom_sr.series import Study
from dicom_sr.words import counted
from pipelines.context import ClinicalContext
from pipelines.knee_oa_risk import KneeOaRiskSettings, codes
from pipelines.knee_oa_risk.explain import Attribution, attribute
from pipelines.knee_oa_risk.matrix import PatientRecord, from_context
from pipelines.knee_oa_risk.model import LEVEL, Ensemble, EnsembleDescription, Risk, RiskCalibration
from pipelines.knee_oa_risk.vocabulary import version
from pipelines.knee_oa_risk.window import DAYS_PER_YEAR, GAP, HORIZONS, OLDEST, WEEKS, YOUNGEST

SHOWN_GROUPS = 7
RISK_CODES = {years: codes.RISK_WITHIN[years] for years in HORIZONS}
KNEES = Site(codes.KNEE, "B")
REPORT = RecordReport(codes.OA_RISK_RPT, codes.OA_RISK_LO, codes.OA_RISK_HI)
OUTCOME = Code("239873007", "SCT", "Osteoarthritis of knee")


@dataclass(frozen=True)
class Peers:
    """Risks of the people trained on of the same sex and five years of age; quantiles 0.1, 0.25, 0.5, 0.75, 0.9."""

    label: str
    kind: str  # "simulated " or nothing; stands before the label
    persons: int
    quantiles: tuple[tuple[float, ...], ...]  # per horizon

    def median(self, horizon: int) -> float:
        """Their median risk at a horizon in years, 0..1."""
        return self.quantiles[HORIZONS.index(horizon)][2]

    def middle(self, horizon: int) -> tuple[float, float]:
        """The 10th and 90th percentile of their risk at a horizon in years, 0..1."""
        row = self.quantiles[HORIZONS.index(horizon)]
        return row[0], row[4]


def assess(
    model: Model,
    title: str,
    ensemble: Ensemble,
    site: RiskCalibration | None,
    settings: KneeOaRiskSettings,
    study: Study,
    context: ClinicalContext,
) -> Result:
    """The result for one record.

    Parameters
    ----------
    model, title
        Which model speaks, and the title of its report.
    ensemble, site
        The networks, and the site's recalibration where there is one.
    settings
        When to abstain.
    study, context
        Whose study it is, and the record up to the index date.

    Raises
    ------
    UnsuitableInput
        If the question does not arise (diagnosis already made, patient dead) or cannot be put to this model (no birth
        date, age outside its range).
    """
    record = _record(context)
    reason = _abstention(record, settings)
    if reason is not None:
        return _abstained(model, title, ensemble.description, study, record, context.index_date, *reason)
    risk, why = ensemble.risk(record.batch, site), attribute(ensemble, record)
    return answered(model, title, ensemble.description, site, study, context, risk, why)


def answered(
    model: Model,
    title: str,
    card: EnsembleDescription,
    site: RiskCalibration | None,
    study: Study,
    context: ClinicalContext,
    risk: Risk,
    why: Attribution,
) -> Result:
    """The result that says a risk.

    Parameters
    ----------
    model, title
        Of the pipeline.
    card
        What goes with the model's weights.
    site
        The site's recalibration, where there is one.
    study
        The study that the result is put into.
    context
        The record up to the index date.
    risk
        Of this one person, (1, H).
    why
        What drove the risk at the last horizon.

    Raises
    ------
    UnsuitableInput
        As `assess`.
    """
    record = _record(context)
    peers = _peers(card, record, context, site)
    finding = _finding(risk, peers, record)
    return Result(
        model=model,
        title=title,
        evidence=study.series,
        conclusion=_conclusion(risk, why, peers, record),
        findings=(finding, *_contributions(why)),
        pages=(_page(title, risk, why, peers, record, context),),
        limits=_limits(card, record, site),
        parameters=_parameters(record, site),
        from_record=REPORT,
        risk=_risk_of(finding, context.index_date),
    )


def _record(context: ClinicalContext) -> PatientRecord:
    if context.birth_date is None:
        raise UnsuitableInput("the record has no birth date")
    if context.died is not None and context.died <= context.index_date:
        raise UnsuitableInput("the record says that the patient has died")
    # before anything is worked out: it also keeps days within what a calendar holds
    if not YOUNGEST <= (context.index_date - context.birth_date).days / DAYS_PER_YEAR < OLDEST + 1:
        raise UnsuitableInput(
            f"the model was trained on people of {YOUNGEST} to {OLDEST} years; this patient is outside that range"
        )
    record = from_context(context)
    if record.outcome_before:
        raise UnsuitableInput(
            "knee osteoarthritis or a knee replacement is already on record; the model speaks of a first diagnosis only"
        )
    return record


def _abstention(record: PatientRecord, settings: KneeOaRiskSettings) -> tuple[Code, str] | None:
    """Why no risk is given, as a code and a sentence; None where one is."""
    if record.observed_weeks < settings.minimum_history_weeks:
        return codes.WHY_HISTORY, (
            f"Insufficient history: {counted(record.observed_weeks, 'observed week')} before the wash-out "
            f"of {GAP} weeks, at least {settings.minimum_history_weeks} are needed."
        )
    if record.days < settings.minimum_days:
        return codes.WHY_HISTORY, (
            f"Insufficient history: entries on {counted(record.days, 'day')} in the three years before the wash-out, "
            f"at least {settings.minimum_days} are needed."
        )
    share = record.coverage.unknown_share
    if share > settings.maximum_unknown_share:
        return codes.WHY_OOD, (
            f"{share:.0%} of the diagnoses and medications have codes that the mapping tables (version "
            f"{version()}) do not "
            f"know; the limit is {settings.maximum_unknown_share:.0%}."
        )
    return None


def _abstained(
    model: Model,
    title: str,
    card: EnsembleDescription,
    study: Study,
    record: PatientRecord,
    index_date: date,
    reason: Code,
    sentence: str,
) -> Result:
    missing = tuple(
        NotEvaluable(f"Knee OA risk {years}y", RISK_CODES[years], reason, sentence, KNEES) for years in HORIZONS
    )
    page = Page(title, (_facts(record),), columns=1, summary=("No risk is given.", sentence))
    return Result(
        model=model,
        title=title,
        evidence=study.series,
        conclusion=("No risk is given.", sentence),
        not_evaluable=missing,
        pages=(page,),
        limits=_limits(card, record, None),
        parameters=_parameters(record, None),
        from_record=REPORT,
        risk=_stated_risk(tuple(Prediction(years, None, reason=sentence) for years in HORIZONS), index_date),
    )


def _peers(
    card: EnsembleDescription, record: PatientRecord, context: ClinicalContext, site: RiskCalibration | None
) -> Peers:
    """Peers of the same sex, or of both where the record does not say, recalibrated as the risk is."""
    youngest = int(min(record.age, OLDEST - 1) // 5 * 5)
    sexes = (context.sex,) if context.sex in ("F", "M") else ("F", "M")
    rows = [row for row in card.peers if row["sex"] in sexes and row["youngest"] == youngest]
    quantiles = np.mean([row["quantiles"] for row in rows], axis=0)  # (H, 5)
    if site is not None:
        quantiles = site.apply(quantiles.T).T
    words = {row["words"] for row in rows}
    first, last = min(row["ages"][0] for row in rows), max(row["ages"][1] for row in rows)
    label = f"{words.pop() if len(words) == 1 else 'people'} of {first} to {last}"
    return Peers(
        label,
        card.people,
        sum(row["persons"] for row in rows),
        tuple(tuple(float(q) for q in row) for row in quantiles),
    )


def _finding(risk: Risk, peers: Peers, record: PatientRecord) -> Finding:
    numbers = [
        Measurement(
            RISK_CODES[years],
            _percent(risk.value[0, number]),
            codes.PERCENT,
            interval=(_percent(risk.lower[0, number]), _percent(risk.upper[0, number])),
            interval_level=LEVEL,
        )
        for number, years in enumerate(HORIZONS)
    ]
    last = HORIZONS[-1]
    peer = peers.median(last)
    numbers += [
        Measurement(codes.OA_RISK_POP, _percent(peer), codes.PERCENT),
        Measurement(codes.OA_RISK_RATIO, round(float(risk.value[0, -1]) / peer, 2), codes.RATIO),
        Measurement(codes.OA_RISK_HISTORY, round(record.observed_weeks / 52.18, 2), codes.YEAR),
        Measurement(codes.OA_RISK_UNKNOWN, _percent(record.coverage.unknown_share), codes.PERCENT),
    ]
    return Finding("Knee OA risk", codes.OA_RISK, KNEES, measurements=tuple(numbers))


def _risk_of(finding: Finding, index_date: date) -> RiskStatement:
    """The numbers of the finding, as shares: a FHIR server is told exactly what the report says."""
    measured = {measurement.name.value: measurement for measurement in finding.measurements}
    predictions = []
    for years in HORIZONS:
        number = measured[RISK_CODES[years].value]
        low, high = number.interval or (number.value, number.value)
        predictions.append(
            Prediction(
                years,
                number.value / 100,
                interval=(low / 100, high / 100),
                interval_level=number.interval_level,
                relative_risk=measured[codes.OA_RISK_RATIO.value].value if years == HORIZONS[-1] else None,
            )
        )
    return _stated_risk(tuple(predictions), index_date)


def _stated_risk(predictions: tuple[Prediction, ...], index_date: date) -> RiskStatement:
    return RiskStatement(OUTCOME, "First diagnosis of knee osteoarthritis", index_date, predictions)


def _percent(share: float) -> float:
    return round(100 * float(share), 2)


def _contributions(why: Attribution) -> tuple[Finding, ...]:
    """One finding per group, in percentage points of the risk at the last horizon."""
    return tuple(
        Finding(
            f"Contribution: {group}",
            codes.OA_RISK_CONTRIB,
            measurements=(Measurement(codes.OA_RISK_CONTRIB, round(100 * value, 2), codes.PERCENT),),
        )
        for group, value in _shown(why)
    )


def _shown(why: Attribution) -> list[tuple[str, float]]:
    return [(group, value) for group, value in why.groups() if abs(value) >= 0.0005][:SHOWN_GROUPS]


def _conclusion(risk: Risk, why: Attribution, peers: Peers, record: PatientRecord) -> tuple[str, ...]:
    last = HORIZONS[-1]
    value, low, high = (100 * float(x[0, -1]) for x in (risk.value, risk.lower, risk.upper))
    first = (
        f"Risk of a first diagnosis of knee osteoarthritis within {last} years: {value:.1f} % "
        f"({LEVEL:.0%} interval {low:.1f} to {high:.1f} %)."
    )
    peer = 100 * peers.median(last)
    second = f"Median of {peers.label}: {peer:.1f} %; this is {value / peer:.1f} times that."
    raised = [_named(why, group, record) for group, part in _shown(why) if part > 0][:3]
    lowered = [_named(why, group, record) for group, part in _shown(why) if part < 0][:2]
    third = f"Raised most by: {', '.join(raised)}." if raised else "Nothing recorded raises it."
    if lowered:
        third += f" Lowered by: {', '.join(lowered)}."
    return first, second, third


def _named(why: Attribution, group: str, record: PatientRecord) -> str:
    """The group, with its value or the one or two codes that make it up, in lower case as part of a sentence."""
    parts = why.leading_codes(group) or [text for name, text in _static_words(record) if name.lower() == group.lower()]
    inside = ", ".join(part[:1].lower() + part[1:] if part[1:2].islower() else part for part in parts)
    name = group if group.startswith("Kellgren") else group[:1].lower() + group[1:]
    return f"{name} ({inside})" if parts else name


def _limits(card: EnsembleDescription, record: PatientRecord, site: RiskCalibration | None) -> tuple[str, ...]:
    lines = [
        card.limit,
        f"Only the {WEEKS} weeks before the last {GAP} weeks are read: what is already being worked up does not count.",
        "An association in the record is no cause; nothing here is advice to treat.",
    ]
    if record.complaints:
        entries = "One entry" if record.complaints == 1 else f"{record.complaints} entries"
        lines.append(f"{entries} about knee complaints on record: left out on purpose.")
    if record.coverage.unknown:
        lines.append(
            f"{record.coverage.unknown} of {record.coverage.diagnoses_and_drugs} diagnoses and medications of the "
            "window have "
            f"codes that the mapping tables (version {version()}) do not know."
        )
    missing = [name for name, value in _static_words(record) if value == "not recorded"]
    if missing:
        lines.append(f"Not recorded: {', '.join(missing)}.")
    if site is None:
        lines.append("Not recalibrated to this site's prevalence.")
    return tuple(lines)


def _parameters(record: PatientRecord, site: RiskCalibration | None) -> tuple[tuple[str, str], ...]:
    return (
        ("mapping tables", version()),
        ("window", f"{record.window[0].isoformat()} to {record.window[1].isoformat()}"),
        ("unknown codes", f"{record.coverage.unknown_share:.3f}"),
        ("recalibration", site.source if site else "none"),
    )


# ---- the page
def _page(
    title: str, risk: Risk, why: Attribution, peers: Peers, record: PatientRecord, context: ClinicalContext
) -> Page:
    return Page(
        title,
        (_risk_panel(risk, peers), _drivers(why), _timeline(why), _facts(record)),
        columns=2,
        summary=_conclusion(risk, why, peers, record),
    )


def _risk_panel(risk: Risk, peers: Peers) -> BarPanel:
    bars = []
    for number, years in enumerate(HORIZONS):
        value, low, high = (100 * float(x[0, number]) for x in (risk.value, risk.lower, risk.upper))
        within = counted(years, "year")
        bars.append(Bar(within, value, (low, high), highlight=True))
        middle = tuple(100 * x for x in peers.middle(years))
        bars.append(Bar("peers", 100 * peers.median(years), (middle[0], middle[1])))
    top = max(max(bar.value, bar.interval[1] if bar.interval else 0.0) for bar in bars)
    return BarPanel(
        "Risk of a first diagnosis",
        tuple(bars),
        axis_range=(0.0, min(100.0, float(np.ceil(top / 5.0) * 5.0))),
        unit="%",
        caption=f"Whiskers: {LEVEL:.0%} interval of the patient's risk; 10th to 90th percentile of {peers.persons} "
        f"{peers.kind}{peers.label}. Death is counted as a competing event.",
    )


def _drivers(why: Attribution) -> BarPanel:
    shown = [(group, 100 * value) for group, value in _shown(why)]
    reach = max([abs(value) for _, value in shown], default=1.0)
    bars = tuple(Bar(group, value, highlight=value > 0) for group, value in shown)
    low = -reach if any(value < 0 for _, value in shown) else 0.0
    return BarPanel(
        f"What drove the {HORIZONS[-1]}-year risk, points",
        bars or (Bar("nothing recorded moves it", 0.0),),
        axis_range=(low, reach),
        caption=f"Percentage points, from {100 * why.start:.1f} % for the same age and sex with nothing recorded to "
        f"{100 * why.end:.1f} % (before calibration); integrated gradients over all codes and weeks.",
    )


def _timeline(why: Attribution) -> LinePanel:
    months = WEEKS // 8
    years = -(np.arange(months)[::-1] * 8 + 4 + GAP) / 52.18  # years before the index date, oldest first

    def by_month(weeks: np.ndarray) -> np.ndarray:
        recent = weeks[WEEKS - 8 * months :]
        monthly: np.ndarray = 100 * recent.reshape(months, 8).sum(axis=1)
        return monthly

    candidates = [(group, by_month(why.by_week(group))) for group, _ in why.groups()]
    ranked = sorted(candidates, key=lambda item: -float(np.abs(item[1]).sum()))[:3]
    lines = tuple(
        Line(group, years, values, highlight=number == 0)
        for number, (group, values) in enumerate(ranked)
        if np.abs(values).sum() > 0
    )
    return LinePanel(
        "When it was recorded",
        lines or (Line("nothing recorded", years, np.zeros(months)),),
        x_label="years before the index date",
        y_label="points per eight weeks",
        caption=f"The last {GAP} weeks are not read.",
    )


def _facts(record: PatientRecord) -> TablePanel:
    rows = [("item", "on record")]
    rows.append(("observed history", f"{record.observed_weeks / 52.18:.1f} years of {WEEKS / 52.18:.0f}"))
    rows.append(("days with any entry", str(record.days)))
    rows.append(("weeks with a diagnosis", f"{record.visits_per_year:.0f} a year"))
    rows += _static_words(record)
    known = 1 - record.coverage.unknown_share
    rows.append(("codes known", f"{known:.0%} of {record.coverage.diagnoses_and_drugs}"))
    rows.append(("knee complaints (left out)", str(record.complaints)))
    return TablePanel("The record", tuple(rows))


def _static_words(record: PatientRecord) -> list[tuple[str, str]]:
    """Static values in words and the units they are usually given in."""

    def words(name: str, form: str, scale: float = 1.0) -> str:
        value = record.static[name]
        return "not recorded" if np.isnan(value) else form.format(scale * value)

    yes_no = {0.0: "no", 1.0: "yes"}
    crp = record.static["crp"]
    return [
        ("body mass index", words("bmi", "{:.1f} kg/m²")),
        ("Kellgren-Lawrence grade", words("kl", "{:.0f}")),
        ("family history", yes_no.get(record.static["family"], "not recorded")),
        ("old knee injury", yes_no.get(record.static["old_injury"], "not recorded")),
        ("urate", words("urate", "{:.1f} mg/dL")),
        ("C-reactive protein", "not recorded" if np.isnan(crp) else f"{np.exp(crp):.1f} mg/L"),
        ("haemoglobin A1c", words("hba1c", "{:.1f} %")),
    ]
