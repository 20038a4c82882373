"""What leaking codes and the design of a study do to an AUROC, on the same simulated people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_oa_risk.evaluation.parts import Part, lone_risk
from pipelines.knee_oa_risk.simulation.population import FIRST_TEST_YEAR, Population, seen_at_diagnosis, simulate
from pipelines.knee_oa_risk.training import measures
from pipelines.knee_oa_risk.training.baselines import baseline_risks
from pipelines.knee_oa_risk.training.fit import fit
from pipelines.knee_oa_risk.window import GAP

Floats = NDArray[np.float64]

LEAK_PERSONS = 20_000


def leak_rows(register: Population, later: Population, epochs: int, say: Callable[[str], None]) -> list[list[str]]:
    """AUROC at one year with and without the codes that follow the disease, a row of the card's table per wash-out.

    Parameters
    ----------
    register
        To fit on: its people with index dates before the calibration year, at most `LEAK_PERSONS`.
    later
        To measure on: its people of the temporally later part.
    epochs
        Of the networks that are trained for it.
    say
        Called with a line before each wash-out: it takes minutes.
    """
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
                row.append(f"{measures.auroc(lone_risk(network, parts[1].batch)[:, 0], case, weight):.3f}")
            else:
                row.append("")
        rows.append(row)
    return rows


def design_rows(persons: int, epochs: int, say: Callable[[str], None]) -> list[list[str]]:
    """The same people studied in two ways, a row of the card's table each: how an AUROC of 0.97 can appear.

    Parameters
    ----------
    persons
        To fit on; half as many are measured on.
    epochs
        Of the networks that are trained for it, at least 8.
    say
        Called with a line before each design.
    """
    rows = []
    train, test = (simulate(n, seed, ages=(18.0, 90.0)) for n, seed in ((persons, 5), (persons // 2, 6)))
    for name, matched in (
        ("cases at diagnosis, controls unmatched", False),
        ("matched on age, sex, use of care; wash-out", True),
    ):
        say(f"design: {name}")
        parts = [case_control(people, matched, seed) for seed, people in enumerate((train, test))]
        both = [Part.of(people, with_leaks=not matched, gap_weeks=GAP if matched else 0) for people in parts]
        case, weight = both[1].people.status == 1, np.ones(len(both[1].people))
        row = [name, f"{int(case.sum())} / {int((~case).sum())}"]
        means = [both[1].people.age[flag].mean() for flag in (case, ~case)]
        row.append(f"{means[0]:.0f} / {means[1]:.0f}")
        for baseline in ("age + sex", "age + sex + visits", "gradient boosting on code counts"):
            risk = baseline_risks(baseline, both[0].pair, both[1].pair, (1,))
            row.append(f"{measures.auroc(risk[:, 0], case, weight):.3f}")
        network = fit(both[0].batch, both[0].people, 1, max(epochs, 8))
        row.append(f"{measures.auroc(lone_risk(network, both[1].batch)[:, 0], case, weight):.3f}")
        rows.append(row)
    return rows


def case_control(people: Population, matched: bool, seed: int) -> Population:
    """The cases of the first year with four controls each, and an outcome at one year that is known of everybody.

    Parameters
    ----------
    people
        Whom to draw from; who was lost in the first year is in neither group.
    matched
        Whether controls are of the case's five years of age, sex and fifth of use of care; otherwise any will do, and
        the record of a case ends on the day of its diagnosis.
    seed
        Of the draw.
    """
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
