"""A population whose risk of knee osteoarthritis is known: records, index dates, outcomes, censoring and death.

Nothing here is a patient. The hazard is ours, drawn up to look like life where that matters for judging a method: age,
sex and how often somebody sees a doctor drive both what is recorded and what is diagnosed; some codes only follow the
disease (leaking codes); values are missing. Because the hazard is known, the best risk that anybody could give from the
record alone (the Bayes-optimal risk, with missing values integrated out) is known too.

Time runs in weeks. The simulated record has `TIMELINE` weeks up to the index date; the model sees `WEEKS` of them and
not the last `GAP` (wash-out), so that what is already being worked up does not count as foresight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_oa_risk.simulation.events import TIMELINE, Events, EventSampler, joined, leaking_codes
from pipelines.knee_oa_risk.simulation.hazard import (
    bmi_effect,
    bmi_mean,
    condition_chance,
    death_hazard,
    first_event,
    history_effect,
    injury_effect,
    kl_prior,
    laboratory_mean,
    log_hazard,
    visit_weeks,
)
from pipelines.knee_oa_risk.simulation.rates import (
    ACUTE,
    BMI_LINKED,
    CHRONIC,
    FAMILY_EFFECT,
    FAMILY_SHARE,
    INPUTS,
    KL_EFFECT,
    OLD_INJURY_EFFECT,
    OLD_INJURY_SHARE,
    PRESCRIBED,
    RECORDED_SHARE,
    TREATED,
)
from pipelines.knee_oa_risk.window import GAP, STATIC, WEEKS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LAST_YEAR = 2026.0  # when the simulated register was closed
FIRST_TEST_YEAR = 2020.0  # index dates from here on are the temporally later part


@dataclass(frozen=True)
class Population:
    """Simulated people: everything is an array over persons (N,) unless it says otherwise."""

    age: Floats
    female: Bools
    index_year: Floats
    observed_weeks: Ints  # of the WEEKS that the model may see
    static: dict[str, Floats]  # as recorded; NaN where missing
    events: Events
    visits_per_year: Floats  # weeks with any diagnosis, per observed year
    time: Floats  # years from the index date to whatever came first
    status: Ints  # 0 left or closed, 1 knee osteoarthritis, 2 died
    history_effect: Floats  # sum of the effects that the window shows, without age, sex and the static values
    injury: Floats  # effect of injuries in the window
    death_hazard: Floats  # per year, at the index date
    linked: NDArray[np.bool_]  # (N, len(BMI_LINKED)) which of them the person has

    def __len__(self) -> int:
        return len(self.age)

    def take(self, keep: Bools) -> Population:
        """The persons that `keep` (N,) marks."""
        number = np.cumsum(keep) - 1
        events = self.events.where(keep[self.events.person])
        events = replace(events, person=number[events.person].astype(np.int32))
        return Population(
            self.age[keep],
            self.female[keep],
            self.index_year[keep],
            self.observed_weeks[keep],
            {name: values[keep] for name, values in self.static.items()},
            events,
            self.visits_per_year[keep],
            self.time[keep],
            self.status[keep],
            self.history_effect[keep],
            self.injury[keep],
            self.death_hazard[keep],
            self.linked[keep],
        )


def simulate(persons: int, seed: int, ages: tuple[float, float] = (30.0, 90.0)) -> Population:
    """A population of `persons` people at their index dates; the same `seed` gives the same people.

    Parameters
    ----------
    ages
        Youngest and oldest age at the index date, years.
    """
    rng = np.random.default_rng(seed)
    n = persons
    age = ages[0] + (ages[1] - ages[0]) * rng.beta(2.0, 2.6, n)
    female = rng.random(n) < 0.52
    year = rng.uniform(2010.0, 2024.0, n)
    usage = rng.gamma(3.0, 1 / 3.0, n) * np.exp(0.02 * (year - 2010)) * np.where(female, 1.12, 1.0)
    observed = np.where(rng.random(n) < 0.85, WEEKS, rng.integers(16, WEEKS, n))
    start = np.where(observed == WEEKS, 0, TIMELINE - GAP - observed)
    bmi = np.clip(bmi_mean(age, year) + 4.8 * rng.standard_normal(n), 16, 50)
    sample = EventSampler(rng, start, observed)

    has = {code: rng.random(n) < condition_chance(code, age, female, bmi) for code in CHRONIC}
    for code, row in CHRONIC.items():
        sample.visits(code, has[code], row[4] * np.sqrt(usage))
    for code, (rate, per_decade, women) in ACUTE.items():
        rates = usage * rate * np.exp(per_decade * (age - 50) / 10 + women * female)
        sample.episodes(code, rates)
    for code, (condition, share) in TREATED.items():
        sample.refills(code, has[condition] & (rng.random(n) < share))
    for code, (condition, share, days) in PRESCRIBED.items():
        sample.prescriptions(code, condition, share, days)
    sample.pain(age, has)
    sample.rehabilitation()
    events = sample.events()

    window = events.where((events.week >= TIMELINE - GAP - WEEKS) & (events.week < TIMELINE - GAP))
    visits = visit_weeks(window, n) / (observed / 52.0)
    injury = injury_effect(window, n)
    history = history_effect(window, n, has, visits, injury)
    static, truth = _static(rng, age, female, bmi, has)
    linked = np.stack([has[code] for code in BMI_LINKED], axis=1)
    death = death_hazard(age, female, has)

    eta = log_hazard(age, female, year) + history + bmi_effect(bmi, injury)
    eta += FAMILY_EFFECT * truth["family"] + OLD_INJURY_EFFECT * truth["old_injury"]
    eta += KL_EFFECT[truth["kl"].astype(int)]
    time, status = first_event(rng, eta, death)
    left = np.minimum(LAST_YEAR - year, rng.exponential(25.0, n))
    status = np.where(time <= left, status, 0)
    leaks = leaking_codes(rng, age, np.where(time <= 3.0, time, np.inf), status, usage, start)
    return Population(
        age=age,
        female=female,
        index_year=year,
        observed_weeks=observed,
        static=static,
        events=joined([events, leaks]),
        visits_per_year=visits,
        time=np.minimum(time, left),
        status=status,
        history_effect=history,
        injury=injury,
        death_hazard=death,
        linked=linked,
    )


def seen_at_diagnosis(population: Population, seed: int) -> Population:
    """The same people, cases as they look on the day of their diagnosis: the design without any wash-out.

    Codes that only follow the disease fill the last months before a case's index date, as they do in a study that
    counts backwards from the diagnosis.
    """
    rng = np.random.default_rng(seed)
    n = len(population)
    start = np.where(population.observed_weeks == WEEKS, 0, TIMELINE - GAP - population.observed_weeks)
    kept = population.events.where(population.events.row < INPUTS)
    times = np.where(population.status == 1, 0.0, np.inf)
    leaks = leaking_codes(rng, population.age, times, population.status, np.ones(n), start)
    return replace(population, events=joined([kept, leaks]))


def _static(
    rng: np.random.Generator, age: Floats, female: Bools, bmi: Floats, has: dict[str, Bools]
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Static values as recorded, and as they are."""
    n = len(age)
    truth = {
        "bmi": bmi,
        "kl": (rng.random(n)[:, None] > np.cumsum(kl_prior(age, bmi), axis=1)).sum(axis=1).astype(float),
        "family": (rng.random(n) < FAMILY_SHARE).astype(float),
        "old_injury": (rng.random(n) < OLD_INJURY_SHARE).astype(float),
        "urate": laboratory_mean("urate", bmi, has["GOUT"]) + 1.1 * rng.standard_normal(n),
        "crp": laboratory_mean("crp", bmi, has["GOUT"]) + 0.8 * rng.standard_normal(n),
        "hba1c": 5.4 + 1.5 * has["DIABETES"] + 0.5 * rng.standard_normal(n),
    }
    truth["kl"] = np.minimum(truth["kl"], 2.0)
    return {name: np.where(rng.random(n) < RECORDED_SHARE[name], truth[name], np.nan) for name in STATIC}, truth
