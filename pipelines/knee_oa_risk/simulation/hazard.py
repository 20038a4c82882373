"""The hazard of the simulated people: what age, sex, body mass index and the record do to risk and to death."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_oa_risk.odds import expit
from pipelines.knee_oa_risk.simulation.events import TIMELINE, Events
from pipelines.knee_oa_risk.simulation.rates import ACUTE, BASE, CHRONIC, EFFECT, INJURY, ROW
from pipelines.knee_oa_risk.window import GAP, HORIZONS, WEEKS, YEARS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def log_hazard(age: Floats, female: Bools, year: Floats) -> Floats:
    """Log hazard of knee osteoarthritis per year from age, sex and calendar year alone, (N,).

    Parameters
    ----------
    age
        (N,), years.
    female
        (N,).
    year
        (N,), calendar year of the index date.
    """
    by_age = 2.5 / (1 + np.exp(-(age - 57) / 8)) - 0.03 * np.maximum(age - 80, 0)
    women = (0.20 + 0.25 / (1 + np.exp(-(age - 52) / 3))) * female
    return BASE + by_age + women + 0.01 * (year - 2010)


def bmi_effect(bmi: Floats, injury: Floats) -> Floats:
    """Effect of body mass index in kg/m2 on the log hazard, greater after an injury."""
    return 0.085 * np.clip(bmi - 22, 0, 18) + 0.30 * np.minimum(injury, 1.0) * (bmi > 30)


def bmi_mean(age: Floats, year: Floats) -> Floats:
    """Mean body mass index at an age in years in a calendar year, kg/m2."""
    return 26.3 + 0.05 * (np.minimum(age, 70) - 50) + 0.05 * (year - 2010)


def condition_chance(code: str, age: Floats, female: Bools, bmi: Floats) -> Floats:
    """Chance of a lasting condition, (N,).

    Parameters
    ----------
    code
        Of the condition, one of `CHRONIC`.
    age
        (N,), years.
    female
        (N,).
    bmi
        (N,), kg/m2.
    """
    base, per_decade, women, per_bmi, _ = CHRONIC[code]
    return expit(base + per_decade * (age - 50) / 10 + women * female + per_bmi * (bmi - 27))


def kl_prior(age: Floats, bmi: Floats) -> Floats:
    """Chance of Kellgren-Lawrence grade 0, 1, 2 before any diagnosis, (..., 3)."""
    some = expit(-1.3 + 0.045 * (age - 55) + 0.07 * (bmi - 27))
    return np.stack([1 - some, 0.65 * some, 0.35 * some], axis=-1)


def laboratory_mean(name: str, bmi: Floats, gout: Bools) -> Floats:
    """Mean of a laboratory value, (N,): urate in mg/dL, or the log of C-reactive protein in mg/L.

    Parameters
    ----------
    name
        "urate" or "crp".
    bmi
        (N,), kg/m2.
    gout
        (N,): who has it.
    """
    if name == "urate":  # mg/dL
        return 5.2 + 0.07 * (bmi - 27) + 1.6 * gout
    return 0.6 + 0.06 * (bmi - 27) + 0.0 * gout  # log of C-reactive protein, mg/L


def death_hazard(age: Floats, female: Bools, has: dict[str, Bools]) -> Floats:
    """Hazard of death per year at the index date, (N,).

    Parameters
    ----------
    age
        (N,), years.
    female
        (N,).
    has
        (N,) each: who has which lasting condition, by its code.
    """
    log = -6.3 + 0.95 * (age - 50) / 10 - 0.4 * female
    for code, effect in (("HEART_FAILURE", 0.9), ("CANCER", 0.9), ("COPD", 0.6), ("KIDNEY", 0.6), ("DEMENTIA", 1.0)):
        log = log + effect * has[code]
    return np.exp(log)


def cumulative_incidence(eta: Floats, death: Floats) -> Floats:
    """Cumulative incidence at each horizon, (..., H), of a hazard that grows with every year of follow-up."""
    alive = np.ones_like(eta)
    total = np.zeros_like(eta)
    out = []
    for year in range(YEARS):
        hazard, mortality = np.exp(eta + 0.03 * year), death * np.exp(0.09 * year)
        both = hazard + mortality
        gone = -np.expm1(-both)
        total = total + alive * gone * hazard / both
        alive = alive * (1 - gone)
        if year + 1 in HORIZONS:
            out.append(total)
    return np.stack(out, axis=-1)


def first_event(rng: np.random.Generator, eta: Floats, death: Floats) -> tuple[Floats, Ints]:
    """Time, years, and kind of what comes first, without anybody leaving.

    Parameters
    ----------
    rng
        Where chance comes from.
    eta
        (N,): log hazard of knee osteoarthritis per year at the index date.
    death
        (N,): hazard of death per year at the index date.
    """
    n = len(eta)
    left = rng.exponential(1.0, n)
    time, status = np.full(n, np.inf), np.zeros(n, np.int64)
    for year in range(20):
        hazard, mortality = np.exp(eta + 0.03 * year), death * np.exp(0.09 * year)
        both = hazard + mortality
        now = (status == 0) & (left < both)
        time[now] = year + left[now] / both[now]
        knee = rng.random(n) < hazard / both
        status[now] = np.where(knee, 1, 2)[now]
        left = left - both
    return time, status


def visit_weeks(window: Events, n: int) -> Floats:
    """Weeks with any diagnosis, per person."""
    condition = np.isin(window.row, [ROW[code] for code in (*CHRONIC, *ACUTE)])
    key = np.unique(window.person[condition].astype(np.int64) * TIMELINE + window.week[condition])
    return np.bincount(key // TIMELINE, minlength=n).astype(float)


def injury_effect(window: Events, n: int) -> Floats:
    """Injuries weigh more as the months pass: cartilage needs time to give in."""
    total = np.zeros(n)
    for code, effect in INJURY.items():
        mine = window.row == ROW[code]
        since = (TIMELINE - GAP - 1 - window.week[mine]) / 104.0
        total += np.bincount(window.person[mine], effect * (0.3 + 0.7 * np.minimum(since, 1.0)), minlength=n)
    return np.minimum(total, 2.0)


def history_effect(window: Events, n: int, has: dict[str, Bools], visits: Floats, injury: Floats) -> Floats:
    """Sum of the effects that only the record shows.

    Parameters
    ----------
    window
        What is recorded in the window that the model sees.
    n
        Number of people.
    has
        (N,) each: lasting conditions.
    visits
        (N,): weeks with a diagnosis per observed year.
    injury
        (N,): as `injury_effect` gives it.
    """
    total = injury.copy()
    for code, effect in EFFECT.items():
        total += effect * has[code]
    recent = window.week >= TIMELINE - GAP - 26

    def covered(code: str, part: Bools, weeks: int) -> Floats:
        mine = (window.row == ROW[code]) & part
        return np.minimum(np.bincount(window.person[mine], window.value[mine], minlength=n) / (7.0 * weeks), 1.0)

    total += 1.5 * covered("NSAID", recent, 26) + 0.2 * covered("NSAID", ~recent, WEEKS - 26)
    total += 0.9 * covered("OPIOID", recent, 26) + 0.7 * covered("PARACETAMOL", recent, 26)
    total -= 0.3 * covered("STATIN", np.ones_like(recent), WEEKS)
    return total + 0.30 * np.log1p(np.minimum(visits, 25.0))
