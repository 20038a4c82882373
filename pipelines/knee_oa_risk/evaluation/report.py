"""The sections of the model card, and the bars that were met or missed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dicom_sr.words import counted
from pipelines.knee_oa_risk import WEIGHTS
from pipelines.knee_oa_risk.evaluation.designs import LEAK_PERSONS
from pipelines.knee_oa_risk.evaluation.foreign import RecordAnswer, details, summary
from pipelines.knee_oa_risk.evaluation.parts import Part
from pipelines.knee_oa_risk.model import LEVEL, Ensemble
from pipelines.knee_oa_risk.simulation.bayes import bayes_risk
from pipelines.knee_oa_risk.simulation.population import FIRST_TEST_YEAR
from pipelines.knee_oa_risk.simulation.rates import INPUTS
from pipelines.knee_oa_risk.training import measures
from pipelines.knee_oa_risk.vocabulary import version
from pipelines.knee_oa_risk.window import GAP, HORIZONS

Floats = NDArray[np.float64]

MODEL = "network, the shipped ensemble"
BOOTSTRAPS = 200
SHARE_BAR, SLOPE_BAR = 0.90, (0.9, 1.1)
LAST = len(HORIZONS) - 1


@dataclass
class Report:
    """Lines of the model card, and the bars with whether each was met."""

    lines: list[str] = field(default_factory=list)
    bars: list[tuple[str, str, bool]] = field(default_factory=list)

    def say(self, *lines: str) -> None:
        """Add lines of text."""
        self.lines += lines

    def table(self, heading: list[str], rows: list[list[str]]) -> None:
        """Add a table in Markdown."""
        self.lines += ["", "| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
        self.lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]

    def bar(self, what: str, measured: str, met: bool) -> None:
        """Note a bar.

        Parameters
        ----------
        what
            The bar in words.
        measured
            What was measured, with its interval where it has one.
        met
            Whether that is enough.
        """
        self.bars.append((what, measured, met))


# ---- sections of the card
def head_section(report: Report, ensemble: Ensemble, early: Part, test: Part, bundle: Path) -> None:
    """What the model is, what it was made from and how it is measured.

    Parameters
    ----------
    report
        Gets the section.
    ensemble
        The model that is measured.
    early
        The part it was trained on.
    test
        The later part, which it is measured on.
    bundle
        Folder of the weights, for their size.
    """
    size = (bundle / WEIGHTS).stat().st_size / 1e6
    card = ensemble.description
    counts = [f"{_cases(test, horizon)} by {horizon} y" for horizon in HORIZONS]
    report.say(
        "# knee_oa_risk: risk of knee osteoarthritis from the patient's record",
        "",
        "**Trained and measured on simulated people. Research use only, not for clinical use. None of these figures "
        "says anything about patients.**",
        "",
        "After Deep-KOA (Ningrum 2021, doi 10.2147/JMDH.S325179): a CNN over a weekly matrix of diagnoses and "
        "medications and an ANN over static data, joined. Written by `condyle evaluate knee_oa_risk`. `condyle train "
        "knee_oa_risk --output OWN` makes a bundle of the same kind in about ten minutes on one CPU core; the shipped "
        "one was made before every step had a seed of its own, so other parts of its networks were left out at chance "
        "(dropout).",
        "",
        f"- {card.members} networks, {size:.2f} MB of safetensors, seed {card.seed}; mapping tables {version()}.",
        f"- Matrix: {card.codes} codes x 157 weeks, diagnoses / 7, days of supply / 28, {GAP} weeks of wash-out. "
        "Static: age (spline), sex, use of care, length of record; BMI, Kellgren-Lawrence grade, family history, old "
        "knee injury, urate, C-reactive protein, HbA1c, each with a missing flag.",
        "- Head: yearly hazards of knee osteoarthritis and of death (discrete time, censoring by exposure); risks "
        "are cumulative incidences at 1, 3 and 5 years with death competing.",
        f"- Early part: {len(early.people)} people with index dates before {FIRST_TEST_YEAR - 1:.0f}; calibration and "
        f"intervals from {FIRST_TEST_YEAR - 1:.0f}; later part, another register: {len(test.people)} people from "
        f"{FIRST_TEST_YEAR:.0f} on, diagnoses {', '.join(counts)}. Use of care, body mass index and incidence drift "
        "over the years.",
        "- Measures are weighted by the inverse probability of still being seen; a person who died is known not to "
        "have become a case.",
        "",
        "## Performance on the later part",
    )


def _cases(part: Part, horizon: int) -> int:
    return int(((part.people.status == 1) & (part.people.time <= horizon)).sum())


def performance_section(report: Report, risks: dict[str, Floats], test: Part) -> None:
    """Discrimination and calibration of every method at every horizon.

    Parameters
    ----------
    report
        Gets the section.
    risks
        (N, H) of each method, by its name as the table has it; N are the people of `test`.
    test
        The later part, which it is measured on.
    """
    for number, horizon in enumerate(HORIZONS):
        case, weight = test.known(horizon)
        floor = measures.auroc(risks["age + sex"][:, number], case, weight)
        best = measures.auroc(risks["Bayes-optimal"][:, number], case, weight)
        rows = []
        for name, risk in risks.items():
            mine = risk[:, number]
            area = measures.auroc(mine, case, weight)
            intercept, slope = measures.calibration_fit(mine, case, weight)
            rows.append(
                [
                    name,
                    f"{area:.3f}",
                    f"{(area - floor) / (best - floor):.0%}",
                    f"{measures.auprc(mine, case, weight):.3f}",
                    f"{measures.brier(mine, case, weight):.4f}",
                    f"{slope:.2f}",
                    f"{intercept:+.2f}",
                    f"{measures.in_the_large(mine, case, weight):.2f}",
                ]
            )
        report.say("", f"Within {counted(horizon, 'year')} (simulated people):")
        heading = [
            "",
            "AUROC",
            "of the way from age + sex to Bayes",
            "AUPRC",
            "Brier",
            "slope",
            "intercept",
            "observed / expected",
        ]
        report.table(heading, rows)
    report.say("Published figures (Ningrum 2021), of other people, outcome within 1 year:")
    report.table(
        ["", "Deep-KOA as published"],
        [
            ["AUROC", "0.97"],
            ["sensitivity / specificity", "0.89 / 0.93"],
            ["precision", "0.80"],
            ["prevalence in the set", "11.04 %"],
        ],
    )
    report.say(
        "These figures contradict each other: at 11.04 % prevalence a sensitivity of 0.89 and a specificity of 0.93 "
        "give a precision of 0.61; 0.80 needs about 24 %. Cases were 13 years older than controls on average, so age "
        "alone separates them well. The section on designs shows how such an AUROC comes about.",
    )


def bars_section(report: Report, risks: dict[str, Floats], test: Part) -> None:
    """Measure the shipped model against its bars, with bootstrap intervals, and note which are met.

    Parameters
    ----------
    report
        Gets the section.
    risks
        (N, H) of each method, by its name as the table has it; N are the people of `test`.
    test
        The later part, which it is measured on.
    """
    model, rng = risks[MODEL], np.random.default_rng(0)
    for number, horizon in enumerate(HORIZONS):
        case, weight = test.known(horizon)
        names = ("age + sex", "gradient boosting on code counts", "Bayes-optimal")

        def areas(
            w: Floats, number: int = number, case: NDArray[np.bool_] = case, names: tuple[str, ...] = names
        ) -> tuple[float, float]:
            floor, trees, best = (measures.auroc(risks[name][:, number], case, w) for name in names)
            mine = measures.auroc(model[:, number], case, w)
            return (mine - floor) / (best - floor), mine - trees

        share, over_trees = areas(weight)
        drawn = np.array(
            [
                areas(weight * rng.multinomial(len(weight), np.full(len(weight), 1 / len(weight))))
                for _ in range(BOOTSTRAPS)
            ]
        )
        (low, high), (t_low, t_high) = (np.quantile(drawn[:, k], [0.025, 0.975]) for k in (0, 1))
        _, slope = measures.calibration_fit(model[:, number], case, weight)
        report.bar(
            f"{horizon} y: way from age + sex to Bayes-optimal AUROC, at least {SHARE_BAR:.0%}",
            f"{share:.1%} (95 % {low:.1%} to {high:.1%})",
            share >= SHARE_BAR,
        )
        report.bar(
            f"{horizon} y: AUROC not below gradient boosting",
            f"{over_trees:+.4f} (95 % {t_low:+.4f} to {t_high:+.4f})",
            over_trees >= 0,
        )
        met = SLOPE_BAR[0] <= slope <= SLOPE_BAR[1]
        report.bar(f"{horizon} y: calibration slope {SLOPE_BAR[0]} to {SLOPE_BAR[1]}", f"{slope:.3f}", met)
    report.say("", "### Bars")
    report.table(
        ["bar", "measured", "met"], [[what, value, "yes" if met else "**no**"] for what, value, met in report.bars]
    )


def reliability_section(report: Report, risk: Floats, test: Part) -> None:
    """Predicted against observed risk at the last horizon.

    Parameters
    ----------
    report
        Gets the section.
    risk
        (N, H) of the model, for the people of `test`.
    test
        The later part, which it is measured on.
    """
    case, weight = test.known(HORIZONS[LAST])
    rows = [
        [f"{mean:.3f}", f"{observed:.3f}", str(n)]
        for mean, observed, n in measures.reliability(risk[:, LAST], case, weight)
    ]
    report.say("### Reliability, 5 years", "", "Tenths of the later part by predicted risk:")
    report.table(["mean predicted", "observed", "people"], rows)


def decision_section(report: Report, risks: dict[str, Floats], test: Part) -> None:
    """Net benefit at the last horizon for several thresholds of the risk.

    Parameters
    ----------
    report
        Gets the section.
    risks
        (N, H) of each method, by its name as the table has it; N are the people of `test`.
    test
        The later part, which it is measured on.
    """
    case, weight = test.known(HORIZONS[LAST])
    everybody = np.ones(len(case))
    rows = []
    for threshold in (0.05, 0.10, 0.15, 0.20, 0.30, 0.40):
        names = (MODEL, "gradient boosting on code counts", "age + sex", "Bayes-optimal")
        benefits = [measures.net_benefit(risks[name][:, LAST], case, weight, threshold) for name in names]
        benefits.append(measures.net_benefit(everybody, case, weight, threshold))
        rows.append([f"{threshold:.0%}", *(f"{1000 * benefit:.1f}" for benefit in benefits)])
    report.say("### Decision curve, 5 years", "", "Net benefit per 1000 people; acting on nobody is 0:")
    report.table(["threshold", "network", "gradient boosting", "age + sex", "Bayes-optimal", "everybody"], rows)


def subgroups_section(report: Report, risks: dict[str, Floats], test: Part) -> None:
    """The last horizon by sex, age, use of care and length of history.

    Parameters
    ----------
    report
        Gets the section.
    risks
        (N, H) of each method, by its name as the table has it; N are the people of `test`.
    test
        The later part, which it is measured on.
    """
    people, number = test.people, LAST
    case, weight = test.known(HORIZONS[number])
    low, high = np.quantile(people.visits_per_year, [1 / 3, 2 / 3])
    groups = {
        "women": people.female,
        "men": ~people.female,
        "30 to 44 years": people.age < 45,
        "45 to 59 years": (people.age >= 45) & (people.age < 60),
        "60 to 74 years": (people.age >= 60) & (people.age < 75),
        "75 years and over": people.age >= 75,
        f"rare users of care (under {low:.1f} weeks a year)": people.visits_per_year < low,
        "middle users": (people.visits_per_year >= low) & (people.visits_per_year < high),
        f"frequent users (from {high:.1f})": people.visits_per_year >= high,
        "under 3 years of history": people.observed_weeks < 157,
    }
    rows = []
    for name, mine in groups.items():
        area, best = (
            measures.auroc(risks[model][mine, number], case[mine], weight[mine]) for model in (MODEL, "Bayes-optimal")
        )
        _, slope = measures.calibration_fit(risks[MODEL][mine, number], case[mine], weight[mine])
        ratio = measures.in_the_large(risks[MODEL][mine, number], case[mine], weight[mine])
        rows.append(
            [
                name,
                str(int(mine.sum())),
                str(int((case & mine).sum())),
                f"{area:.3f}",
                f"{best:.3f}",
                f"{slope:.2f}",
                f"{ratio:.2f}",
            ]
        )
    report.say("### Subgroups, 5 years")
    report.table(["group", "people", "diagnoses", "AUROC", "Bayes-optimal AUROC", "slope", "observed / expected"], rows)


def intervals_section(report: Report, ensemble: Ensemble, test: Part) -> None:
    """How often the intervals hold the Bayes-optimal risk, which is known of simulated people.

    Parameters
    ----------
    report
        Gets the section.
    ensemble
        The model that is measured.
    test
        The later part, which it is measured on.
    """
    risk, truth = ensemble.risk(test.batch), bayes_risk(test.people)
    rows = []
    for number, horizon in enumerate(HORIZONS):
        inside = (truth[:, number] >= risk.lower[:, number]) & (truth[:, number] <= risk.upper[:, number])
        top = risk.value[:, number] >= np.quantile(risk.value[:, number], 0.9)
        width = np.median(risk.upper[:, number] - risk.lower[:, number])
        rows.append([f"{horizon} y", f"{inside.mean():.1%}", f"{inside[top].mean():.1%}", f"{100 * width:.1f} points"])
    report.say(
        "### Intervals",
        "",
        f"{LEVEL:.0%} intervals (spread of the ensemble, scaled by split conformal prediction against the known risk "
        "on the calibration year) should contain the Bayes-optimal risk of as many people:",
    )
    report.table(["horizon", "coverage", "coverage in the top tenth of risk", "median width"], rows)


def leaks_section(report: Report, rows: list[list[str]]) -> None:
    """The rows of `designs.leak_rows`, under their heading."""
    report.say(
        "### Leaking codes",
        "",
        "AUROC at 1 year with and without the codes that follow the disease rather than foretell it (knee pain, "
        "effusion, knee imaging, injection, hyaluronic acid, orthopaedic referral). The shipped model does not read "
        f"them. Each model is trained on at most {LEAK_PERSONS} people of the early part; the network is a single one:",
    )
    heading = ["wash-out", "boosting, without", "network, without", "boosting, with leaks", "network, with leaks"]
    report.table(heading, rows)


def designs_section(report: Report, rows: list[list[str]]) -> None:
    """The rows of `designs.design_rows`, under their heading."""
    report.say(
        "### Designs: how an AUROC of 0.97 can appear",
        "",
        "Two case-control studies of the same simulated adults aged 18 to 90, outcome within 1 year. Unmatched: the "
        "history of a case ends on the day of diagnosis, controls are any other people, and all codes are read. "
        f"Matched: controls of the same age (5 years), sex and use of care, {GAP} weeks of wash-out, no leaking codes.",
    )
    heading = ["design", "cases / controls", "mean age", "age + sex", "age + sex + visits", "boosting", "network"]
    report.table(heading, rows)


def records_section(report: Report, found: list[RecordAnswer]) -> None:
    """What the pipeline answers to records that it was not made for."""
    report.say(
        "### Records from elsewhere",
        "",
        "What the pipeline answers to records that it was not made for: Synthea's FHIR bundles and OMOP tables, and "
        "example HL7 v2 messages (joined by patient, as the node joins them). All of these people are made up, and "
        "Synthea's knee osteoarthritis follows no risk factors, so the risks can be read but not judged. A merge (A40, "
        "A47) counts for patient IDs of an assigning authority that is known, which those of the messages are not: of "
        "whom only a merge tells is left out. The mapping "
        "tables were completed with the codes of these files. Expect more unknown codes at a site; the limit on "
        "their share is there for that.",
    )
    report.table(["records", "people", "unknown codes", "risk", "no risk", "refused"], summary(found))
    report.say("Each record, assessed after its last entry, and also on the day before the diagnosis where it has one:")
    report.table(["record", "entries", "unknown codes", "asked", "answer"], details(found))


def speed_section(report: Report, ensemble: Ensemble, test: Part) -> None:
    """How long one patient takes on this machine.

    Parameters
    ----------
    report
        Gets the section.
    ensemble
        The model that is measured.
    test
        The later part, which it is measured on.
    """
    from datetime import date

    from pipelines.knee_oa_risk.explain import attribute
    from pipelines.knee_oa_risk.matrix import PatientRecord
    from pipelines.knee_oa_risk.vocabulary import Coverage

    one = Part.of(test.people.take(np.arange(len(test.people)) == 0)).batch
    record = PatientRecord(one, 60.0, 157, 5.0, {}, Coverage(0, 0, 0, ()), False, 9, 0, (date.min, date.max))
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        ensemble.risk(one)
        attribute(ensemble, record)
        seconds.append(time.perf_counter() - began)
    report.say(
        "### Speed",
        "",
        f"Risks with intervals and what drove them, for one patient, on {torch.get_num_threads()} thread(s) of a "
        f"shared CPU: median {1000 * float(np.median(seconds[2:])):.0f} ms; `benchmarks/knee_oa_risk.py` measures the "
        "whole run, from the record on.",
    )


def limits_section(report: Report) -> None:
    """What the model cannot do, and how a site trains and recalibrates its own."""
    report.say(
        "",
        "## Limits",
        "",
        "- The population, its hazard and its codes are made up; a real register differs in everything that matters. "
        "Retrain and recalibrate on local data before any study with patients.",
        "- The model gives no risk where less than one year was observed, where fewer than three days of the window "
        "have entries, where more than 30 % of the codes are unknown, outside 30 to 90 years of age, after death, "
        "and where the diagnosis is already on record, by code or by name.",
        "- What drove a risk is what the model used, not what causes the disease.",
        f"- {INPUTS} codes are read; rare diseases share one row for other diagnoses.",
        "",
        "## Training on your own records",
        "",
        "`condyle train knee_oa_risk --data FOLDER --output OWN` takes folders (or zips) of OMOP CDM tables, FHIR "
        "R4 bundles (`*.json`) and bulk exports (`*.ndjson`). Each person is assessed once a year for as long as "
        "follow-up lasts. 70 % of the people are for training, 15 % for calibration, and 15 % are held out for "
        "measurement, beside a model of age and sex alone. Where too few were diagnosed, the command ends and says "
        "how many there are; it needs 100 diagnosed people to train on and 20 diagnoses within each horizon to "
        "calibrate. `settings: {bundle: OWN}` in the route uses the result, and its reports say what it was trained "
        "on. `condyle evaluate knee_oa_risk --data FOLDER --bundle OWN --report PAGE` measures it on the people held "
        "out; of other records, on everybody. Its intervals are the spread of networks trained on resampled people. "
        "They are not checked, since no real person's true risk is known.",
        "",
        "## Recalibration",
        "",
        "`condyle train knee_oa_risk --recalibrate outcomes.csv --output OWN` with columns `risk_1y, risk_3y, risk_5y, "
        "time_years, event` (1 diagnosis, 2 death, 0 end of follow-up); then `settings: {recalibration: "
        "OWN/recalibration.json}` in the route.",
        "",
    )
