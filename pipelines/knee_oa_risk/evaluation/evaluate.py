"""`condyle evaluate knee_oa_risk`: measure the shipped model and its rivals on a later part of the simulated register.

Writes the model card from what was measured. The exit code is 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.knee_oa_risk import BUNDLE, WEIGHTS
from pipelines.knee_oa_risk.evaluation.foreign import RecordAnswer, answers, details, summary
from pipelines.knee_oa_risk.matrix import Batch
from pipelines.knee_oa_risk.model import LEVEL, Ensemble, EnsembleDescription, RiskCalibration
from pipelines.knee_oa_risk.network import RiskNetwork
from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.bayes import bayes_risk
from pipelines.knee_oa_risk.simulation.population import FIRST_TEST_YEAR, Population, seen_at_diagnosis, simulate
from pipelines.knee_oa_risk.simulation.rates import INPUTS
from pipelines.knee_oa_risk.training import measures
from pipelines.knee_oa_risk.training.baselines import BASELINES, baseline_risks
from pipelines.knee_oa_risk.training.fit import EPOCHS, fit
from pipelines.knee_oa_risk.training.train import PERSONS, SEED
from pipelines.knee_oa_risk.vocabulary import matrix_codes, version
from pipelines.knee_oa_risk.window import GAP, HORIZONS

Floats = NDArray[np.float64]
CARD_FILE = Path(__file__).parents[1] / "README.md"
TEST_SEED = 987_654  # another register than the one trained on
BOOTSTRAPS = 200
LAST = len(HORIZONS) - 1

LEAK_PERSONS = 20_000
MODEL = "network, the shipped ensemble"
SHARE_BAR, SLOPE_BAR = 0.90, (0.9, 1.1)


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
        """Note a bar, what was measured and whether it was met."""
        self.bars.append((what, measured, met))


@dataclass(frozen=True)
class Part:
    """People with their matrices, and what each horizon knows of them."""

    batch: Batch
    people: Population

    @classmethod
    def of(cls, people: Population, with_leaks: bool = False, gap_weeks: int = GAP) -> Part:
        """Simulated people with their matrices, after a wash-out of `gap_weeks`."""
        return cls(from_population(people, with_leaks, gap_weeks), people)

    def known(self, horizon: int) -> tuple[NDArray[np.bool_], Floats]:
        """Case flag (N,) and censoring weight (N,) at a horizon in years."""
        weight, case = measures.censoring_weights(self.people.time, self.people.status, horizon)
        return case, weight

    @property
    def pair(self) -> tuple[Batch, Population]:
        """Matrices and people, as the baselines take them."""
        return self.batch, self.people


@dataclass(frozen=True)
class MeasurementCache:
    """What was measured of the rivals, kept in a folder: they do not change when the model does."""

    folder: Path | None
    mark: str  # sizes, epochs and seeds that it rests on

    def get(self, name: str, measure: Callable[[], Any]) -> Any:
        """The outcome of `measure`, a list that JSON can hold, measured once per `mark`."""
        if self.folder is None:
            return measure()
        path = self.folder / f"{hashlib.sha256(f'{self.mark}|{name}'.encode()).hexdigest()[:16]}.json"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(measure()), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))


def evaluate(
    bundle: Path,
    persons: int,
    train_persons: int,
    epochs: int,
    designs: int,
    kept_in: Path | None,
    say: Callable[[str], None],
    records: Sequence[Path] = (),
) -> Report:
    """Measure everything.

    Parameters
    ----------
    persons, designs
        Sizes of the simulated registers that the later part is cut from, and that the designs are compared on.
    train_persons
        Size of the register that the rivals are trained on.
    kept_in
        Where the rivals' measurements are kept for the next time; None: nowhere.
    records
        Folders of records that others made, to see what the pipeline says of them.
    """
    register = simulate(train_persons, SEED)
    early = Part.of(register.take(register.index_year < FIRST_TEST_YEAR - 1))
    later = simulate(persons, TEST_SEED)
    test = Part.of(later.take(later.index_year >= FIRST_TEST_YEAR))
    say(f"{len(test.people)} people in the later part, {len(early.people)} in the early part")
    codes = hashlib.sha256("|".join(matrix_codes(with_leaks=True)).encode()).hexdigest()[:8]
    kept = MeasurementCache(kept_in, f"{persons}|{train_persons}|{epochs}|{designs}|{SEED}|{TEST_SEED}|{codes}")
    risks = _rivals(kept, early, test, epochs, say)
    leaks = kept.get("leaks", lambda: _leaks(register, later, epochs, say))
    compared = kept.get("designs", lambda: _designs(designs, epochs, say))

    ensemble = Ensemble.load(bundle)
    members = ensemble.members_risk(test.batch)
    risks["network, 1 member"] = members[0]
    risks[MODEL] = ensemble.centre(members)[0]
    risks["Bayes-optimal"] = bayes_risk(test.people)
    report = Report()
    _head(report, ensemble, early, test, bundle)
    _main(report, risks, test)
    report.say(
        f"The rivals were trained on the same {len(early.people)} people, the networks without one branch for {epochs} "
        "epochs, one of each.",
        "",
    )
    _bars(report, risks, test)
    _calibration(report, risks[MODEL], test)
    _decision(report, risks, test)
    _subgroups(report, risks, test)
    _intervals(report, ensemble, test)
    _tell_leaks(report, leaks)
    _tell_designs(report, compared)
    if records:
        _tell_records(report, answers(records))
    _speed(report, ensemble, test)
    _foot(report)
    return report


def _rivals(
    kept: MeasurementCache, early: Part, test: Part, epochs: int, say: Callable[[str], None]
) -> dict[str, Floats]:
    def ablation(record: bool, static: bool) -> list[list[float]]:
        network = fit(early.batch, early.people, SEED + 1, epochs, record, static)
        risk: list[list[float]] = _alone(network, test.batch).tolist()
        return risk

    def baseline(name: str) -> list[list[float]]:
        risk: list[list[float]] = baseline_risks(name, early.pair, test.pair).tolist()
        return risk

    measured: dict[str, Callable[[], Any]] = {name: partial(baseline, name) for name in BASELINES}
    measured["network without the CNN"] = partial(ablation, record=False, static=True)
    measured["network without the ANN"] = partial(ablation, record=True, static=False)
    risks = {}
    for name, measure in measured.items():
        say(name)
        risks[name] = np.array(kept.get(name, measure))
    return risks


def _alone(network: RiskNetwork, batch: Batch) -> Floats:
    card = EnsembleDescription(
        batch.rows, batch.static.shape[1], 1, 0, 0, "", RiskCalibration(), (1.0,) * len(HORIZONS), 0.1
    )
    alone: Floats = Ensemble([network], card).members_risk(batch)[0]
    return alone


# ---- sections of the card
def _head(report: Report, ensemble: Ensemble, early: Part, test: Part, bundle: Path) -> None:
    size = (bundle / WEIGHTS).stat().st_size / 1e6
    card = ensemble.description
    counts = [f"{_cases(test, horizon)} by {horizon} y" for horizon in HORIZONS]
    report.say(
        "# knee_oa_risk: risk of knee osteoarthritis from the patient's record",
        "",
        "**Trained and measured on simulated people. Research use only, not for clinical use. None of these "
        "figures says "
        "anything about patients.**",
        "",
        "After Deep-KOA (Ningrum 2021, doi 10.2147/JMDH.S325179): a CNN over a weekly matrix of diagnoses and "
        "medications and "
        "an ANN over static data, joined. Written by `condyle evaluate knee_oa_risk`. `condyle train knee_oa_risk` "
        "makes "
        "the shipped bundle again (bit for bit where it was tried) in about ten minutes on one CPU core.",
        "",
        f"- {card.members} networks, {size:.2f} MB of safetensors, seed {card.seed}; mapping tables {version()}.",
        f"- Matrix: {card.codes} codes x 157 weeks, diagnoses / 7, days of supply / 28, {GAP} weeks of wash-out. "
        "Static: age "
        "(spline), sex, use of care, length of record; BMI, Kellgren-Lawrence grade, family history, old knee "
        "injury, urate, "
        "C-reactive protein, HbA1c, each with a missing flag.",
        "- Head: yearly hazards of knee osteoarthritis and of death (discrete time, censoring by exposure); risks are "
        "cumulative incidences at 1, 3 and 5 years with death competing.",
        f"- Early part: {len(early.people)} people with index dates before {FIRST_TEST_YEAR - 1:.0f}; calibration "
        "and intervals "
        f"from {FIRST_TEST_YEAR - 1:.0f}; later part, another register: {len(test.people)} people from "
        f"{FIRST_TEST_YEAR:.0f} on, "
        f"diagnoses {', '.join(counts)}. Use of care, body mass index and incidence drift over the years.",
        "- Measures are weighted by the inverse probability of still being seen; who died is known not to have "
        "become a case.",
        "",
        "## Performance on the later part",
    )


def _cases(part: Part, horizon: int) -> int:
    return int(((part.people.status == 1) & (part.people.time <= horizon)).sum())


def _main(report: Report, risks: dict[str, Floats], test: Part) -> None:
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
        report.say("", f"Within {horizon} year{'s' if horizon > 1 else ''} (simulated people):")
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
    report.say("Published figures, of other people, outcome within 1 year (Ningrum 2021), in a column of their own:")
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
        "These do not fit together: at 11.04 % prevalence a sensitivity of 0.89 and a specificity of 0.93 give a "
        "precision of "
        "0.61; 0.80 needs about 24 %. Cases were 13 years older than controls on average, so age alone separates "
        "them well. "
        "The section on designs shows how such an AUROC comes about.",
    )


def _bars(report: Report, risks: dict[str, Floats], test: Part) -> None:
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


def _calibration(report: Report, risk: Floats, test: Part) -> None:
    case, weight = test.known(HORIZONS[LAST])
    rows = [
        [f"{mean:.3f}", f"{observed:.3f}", str(n)]
        for mean, observed, n in measures.reliability(risk[:, LAST], case, weight)
    ]
    report.say("### Reliability, 5 years", "", "Tenths of the later part by predicted risk:")
    report.table(["mean predicted", "observed", "people"], rows)


def _decision(report: Report, risks: dict[str, Floats], test: Part) -> None:
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


def _subgroups(report: Report, risks: dict[str, Floats], test: Part) -> None:
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


def _intervals(report: Report, ensemble: Ensemble, test: Part) -> None:
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
        f"{LEVEL:.0%} intervals (spread of the ensemble, scaled by split conformal prediction against the known "
        "risk on the "
        "calibration year) should hold the Bayes-optimal risk that often:",
    )
    report.table(["horizon", "coverage", "coverage in the top tenth of risk", "median width"], rows)


def _leaks(register: Population, later: Population, epochs: int, say: Callable[[str], None]) -> list[list[str]]:
    """With and without the codes that follow the disease, for several wash-outs, at one year."""
    early = register.take(register.index_year < FIRST_TEST_YEAR - 1)
    early = early.take(np.arange(len(early)) < LEAK_PERSONS)
    test = later.take(later.index_year >= FIRST_TEST_YEAR)
    rows = []
    for gap_weeks in (0, GAP, 26, 52):
        say(f"leaking codes, {gap_weeks} weeks")
        row = [f"{gap_weeks} weeks"]
        for with_leaks in (False, True):
            parts = [Part.of(people, with_leaks, gap_weeks) for people in (early, test)]
            risk = baseline_risks("gradient boosting on code counts", parts[0].pair, parts[1].pair, (1,))
            case, weight = parts[1].known(1)
            row.append(f"{measures.auroc(risk[:, 0], case, weight):.3f}")
            if gap_weeks in (0, GAP):
                network = fit(parts[0].batch, early, 1, epochs)
                row.append(f"{measures.auroc(_alone(network, parts[1].batch)[:, 0], case, weight):.3f}")
            else:
                row.append("")
        rows.append(row)
    return rows


def _tell_leaks(report: Report, rows: list[list[str]]) -> None:
    report.say(
        "### Leaking codes",
        "",
        "AUROC at 1 year with and without the codes that follow the disease rather than foretell it (knee pain, "
        "effusion, "
        "knee imaging, injection, hyaluronic acid, orthopaedic referral). The shipped model does not read them. "
        "Trained on "
        f"at most {LEAK_PERSONS} people of the early part, one network:",
    )
    heading = ["wash-out", "boosting, without", "network, without", "boosting, with leaks", "network, with leaks"]
    report.table(heading, rows)


def _designs(persons: int, epochs: int, say: Callable[[str], None]) -> list[list[str]]:
    """The same people studied in two ways: how 0.97 can appear."""
    rows = []
    train, test = (simulate(n, seed, ages=(18.0, 90.0)) for n, seed in ((persons, 5), (persons // 2, 6)))
    for name, matched in (
        ("cases at diagnosis, controls unmatched", False),
        ("matched on age, sex, use of care; wash-out", True),
    ):
        say(f"design: {name}")
        parts = [_case_control(people, matched, seed) for seed, people in enumerate((train, test))]
        both = [Part.of(people, with_leaks=not matched, gap_weeks=GAP if matched else 0) for people in parts]
        case, weight = both[1].people.status == 1, np.ones(len(both[1].people))
        row = [name, f"{int(case.sum())} / {int((~case).sum())}"]
        means = [both[1].people.age[flag].mean() for flag in (case, ~case)]
        row.append(f"{means[0]:.0f} / {means[1]:.0f}")
        for baseline in ("age + sex", "age + sex + visits", "gradient boosting on code counts"):
            risk = baseline_risks(baseline, both[0].pair, both[1].pair, (1,))
            row.append(f"{measures.auroc(risk[:, 0], case, weight):.3f}")
        network = fit(both[0].batch, both[0].people, 1, max(epochs, 8))
        row.append(f"{measures.auroc(_alone(network, both[1].batch)[:, 0], case, weight):.3f}")
        rows.append(row)
    return rows


def _tell_designs(report: Report, rows: list[list[str]]) -> None:
    report.say(
        "### Designs: how an AUROC of 0.97 can appear",
        "",
        "The same simulated adults of 18 to 90, studied as case and control in two ways, outcome within 1 year. "
        "Unmatched: the "
        "history of a case ends on the day of diagnosis, controls are any of the others, all codes are read. "
        "Matched: controls "
        f"of the same age (5 years), sex and use of care, {GAP} weeks of wash-out, no leaking codes.",
    )
    heading = ["design", "cases / controls", "mean age", "age + sex", "age + sex + visits", "boosting", "network"]
    report.table(heading, rows)


def _tell_records(report: Report, found: list[RecordAnswer]) -> None:
    report.say(
        "### Records of others",
        "",
        "What the pipeline says of records that it was not made for: Synthea's FHIR bundles and OMOP tables, and "
        "example "
        "HL7 v2 messages (joined by patient, as the node does). All of these people are made up, and Synthea's knee "
        "osteoarthritis follows no risk factors, so the risks can be looked at and not be judged. The mapping tables "
        "were "
        "completed with the codes of these very files; at a site, expect more unknown codes, which is what the gate is "
        "for.",
    )
    report.table(["records", "people", "unknown codes", "risk", "no risk", "refused"], summary(found))
    report.say("Each of them, and those with the diagnosis also on the day before it:")
    report.table(["record", "entries", "unknown codes", "asked", "answer"], details(found))


def _case_control(people: Population, matched: bool, seed: int) -> Population:
    """Cases within one year with four controls each, drawn at random or from the case's stratum."""
    rng = np.random.default_rng(seed)
    people = people.take((people.time >= 1.0) | (people.status == 1))
    case = (people.status == 1) & (people.time < 1.0)
    keep = case.copy()
    stratum = np.zeros(len(people), int)
    if matched:
        usage = np.searchsorted(np.quantile(people.visits_per_year, [0.2, 0.4, 0.6, 0.8]), people.visits_per_year)
        stratum = (people.age // 5 * 10 + people.female * 5 + usage).astype(int)
    for label in np.unique(stratum[case]):
        pool = np.flatnonzero(~case & (stratum == label))
        wanted = 4 * int((case & (stratum == label)).sum())
        keep[rng.permutation(pool)[:wanted]] = True
    chosen = people.take(keep)
    mine = case[keep]
    chosen = replace(chosen, time=np.where(mine, 0.5, 6.0), status=mine.astype(np.int64))
    return chosen if matched else seen_at_diagnosis(chosen, seed)


def _speed(report: Report, ensemble: Ensemble, test: Part) -> None:
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
        f"One patient, risks with intervals and what drove them, {torch.get_num_threads()} thread(s) of a shared "
        "CPU: median "
        f"{1000 * float(np.median(seconds[2:])):.0f} ms; `benchmarks/knee_oa_risk.py` measures the whole way from "
        "the record.",
    )


def _foot(report: Report) -> None:
    report.say(
        "",
        "## Limits",
        "",
        "- The population, its hazard and its codes are ours; a real register differs in everything that matters. "
        "Retrain and "
        "recalibrate on local data before any study with patients.",
        "- The model abstains under one observed year, with entries on fewer than three days of the window, above 30 % "
        "unknown codes, outside 30 to 90 years, after death, and where the diagnosis is already on record, by code or "
        "by "
        "name.",
        "- What drove a risk is what the model used, not what causes the disease.",
        f"- {INPUTS} codes are read; rare diseases share one row for other diagnoses.",
        "",
        "## Training on your own records",
        "",
        "`condyle train knee_oa_risk --records FOLDER --bundle OWN` takes folders (or zips) of OMOP CDM tables, FHIR "
        "R4 "
        "bundles (`*.json`) and bulk exports (`*.ndjson`). Everybody is looked at once a year for as long as they are "
        "followed; 70 % of the people are trained on, 15 % calibrate, 15 % are held out and measured, beside age and "
        "sex. "
        "It refuses where too few were diagnosed (100 people to train on, 20 diagnoses within each horizon to "
        "calibrate) "
        "and says how many there are. `settings: {bundle: OWN}` in the route takes the result; its reports say what it "
        "was "
        "trained on. Its intervals are the spread of networks trained on resampled people: nobody's true risk is "
        "known, "
        "so they are not checked.",
        "",
        "## Recalibration",
        "",
        "`condyle train knee_oa_risk --recalibrate outcomes.csv --output recalibration.json` with columns "
        "`risk_1y, risk_3y, "
        "risk_5y, time_years, event` (1 diagnosis, 2 death, 0 end of follow-up); then `settings: {recalibration: "
        "recalibration.json}` in the route.",
        "",
    )


def main(arguments: list[str]) -> int:
    """Measure, write the card; returns 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="condyle evaluate knee_oa_risk", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--persons", type=int, default=100_000, help="size of the register the later part is cut from")
    parser.add_argument("--train-persons", type=int, default=PERSONS, help="size of the register for the rivals")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the networks trained for comparison")
    parser.add_argument("--designs", type=int, default=60_000, help="people for the comparison of designs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the rivals' measurements there")
    parser.add_argument(
        "--records", type=Path, nargs="+", metavar="FOLDER", default=(), help="see what it says of records of others"
    )
    parser.add_argument("--card", type=Path, default=CARD_FILE, help="where to write the model card")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)

    def say(text: str) -> None:
        sys.stderr.write(text + "\n")

    sizes = (given.persons, given.train_persons, given.epochs, given.designs)
    report = evaluate(given.bundle, *sizes, given.keep, say, given.records)
    given.card.write_text("\n".join(report.lines) + "\n", encoding="utf-8")
    for what, value, met in report.bars:
        say(f"{'met ' if met else 'MISSED'} {what}: {value}")
    return 0 if all(met for _, _, met in report.bars) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
