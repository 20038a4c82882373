"""A population whose risk of knee osteoarthritis is known: records, index dates, outcomes, censoring and death.

Nothing here is a patient. The hazard is ours, drawn up to look like life where that matters for judging a method: age,
sex and how often somebody sees a doctor drive both what is recorded and what is diagnosed; some codes only follow the
disease (leaking codes); values are missing. Because the hazard is known, the best risk that anybody could give from the
record alone (the Bayes-optimal risk, with missing values integrated out) is known too.

Time runs in weeks. The simulated record has `TIMELINE` weeks up to the index date; the model sees `WEEKS` of them and
not the last `GAP` (wash-out), so that what is already being worked up does not count as foresight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_oa_risk.vocabulary import matrix_codes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

WEEKS = 157  # three years, as in the sibling models of Deep-KOA's authors
GAP = 13  # weeks of wash-out before the index date
TIMELINE = WEEKS + 52  # so that gaps of 0 to 52 weeks can be tried on the same people
HORIZONS = (1, 3, 5)  # years
YEARS = 5
LAST_YEAR = 2026.0  # when the simulated register was closed
FIRST_TEST_YEAR = 2020.0  # index dates from here on are the temporally later part

CODES = matrix_codes(with_leaks=True)
ROW = {code: row for row, code in enumerate(CODES)}
INPUTS = len(matrix_codes())  # rows from here on leak

# lasting conditions: log odds at 50, per decade of age, for women, per kg/m2 above 27; visits with it per year
CHRONIC: dict[str, tuple[float, float, float, float, float]] = {
    "OBESITY": (-1.5, 0.00, 0.05, 0.38, 0.5),
    "DIABETES": (-2.3, 0.45, -0.15, 0.10, 2.0),
    "LIPIDS": (-1.4, 0.40, -0.10, 0.05, 0.9),
    "GOUT": (-3.4, 0.30, -1.10, 0.09, 0.8),
    "HYPERTENSION": (-1.0, 0.65, -0.05, 0.09, 1.6),
    "THYROID": (-2.9, 0.15, 1.20, 0.00, 0.8),
    "OA_OTHER": (-2.7, 0.70, 0.50, 0.00, 0.9),
    "RHEUMATOID": (-4.7, 0.25, 0.90, 0.00, 1.6),
    "BACK_PAIN": (-1.3, 0.12, 0.15, 0.00, 1.1),
    "SHOULDER": (-2.6, 0.20, 0.00, 0.00, 0.7),
    "FOOT_DEFORMITY": (-3.2, 0.15, 0.60, 0.00, 0.5),
    "OSTEOPOROSIS": (-3.8, 0.95, 1.50, 0.00, 0.7),
    "CORONARY": (-3.4, 0.75, -0.60, 0.00, 1.6),
    "ATRIAL_FIB": (-4.0, 0.90, -0.30, 0.00, 1.4),
    "HEART_FAILURE": (-5.0, 1.00, 0.00, 0.00, 2.2),
    "STROKE": (-4.5, 0.80, -0.10, 0.00, 1.0),
    "VARICOSE": (-2.9, 0.25, 0.60, 0.00, 0.4),
    "ASTHMA": (-2.8, 0.00, 0.20, 0.00, 1.0),
    "COPD": (-3.9, 0.60, -0.30, 0.00, 1.6),
    "CATARACT": (-4.0, 1.30, 0.15, 0.00, 0.8),
    "GLAUCOMA": (-4.2, 0.60, 0.10, 0.00, 0.9),
    "REFRACTION": (-1.6, 0.30, 0.15, 0.00, 0.5),
    "DEPRESSION": (-2.1, 0.00, 0.60, 0.00, 1.7),
    "ANXIETY": (-2.1, -0.10, 0.55, 0.00, 1.0),
    "INSOMNIA": (-2.5, 0.25, 0.35, 0.00, 0.7),
    "HEADACHE": (-2.3, -0.20, 0.70, 0.00, 0.7),
    "NEUROLOGICAL": (-3.9, 0.15, 0.00, 0.00, 1.2),
    "DEMENTIA": (-7.0, 1.50, 0.10, 0.00, 1.2),
    "REFLUX": (-1.8, 0.25, 0.10, 0.00, 0.8),
    "BOWEL": (-2.5, 0.30, 0.05, 0.00, 0.6),
    "LIVER": (-3.0, 0.25, 0.10, 0.00, 0.6),
    "KIDNEY": (-4.2, 0.90, -0.10, 0.00, 1.3),
    "PSORIASIS": (-3.7, 0.05, 0.00, 0.00, 0.7),
    "ANAEMIA": (-3.2, 0.35, 0.60, 0.00, 0.7),
    "CANCER": (-3.6, 0.80, 0.00, 0.00, 2.0),
    "SMOKING": (-1.8, -0.25, -0.30, 0.00, 0.4),
}
BMI_LINKED = tuple(code for code, row in CHRONIC.items() if row[3])

# passing conditions: episodes per year of an average user of care at 50, change per decade (log), for women (log)
ACUTE: dict[str, tuple[float, float, float]] = {
    "URI": (0.70, -0.05, 0.10),
    "BRONCHITIS": (0.15, 0.10, 0.00),
    "SINUSITIS": (0.22, -0.05, 0.15),
    "OTITIS": (0.10, 0.15, 0.00),
    "UTI": (0.08, 0.25, 1.00),
    "CONJUNCTIVA": (0.18, 0.15, 0.10),
    "DERMATITIS": (0.20, 0.05, 0.05),
    "SKIN_INFECTION": (0.10, 0.05, -0.10),
    "FRACTURE_OTHER": (0.015, 0.20, 0.20),
    "SPRAIN_OTHER": (0.09, -0.10, 0.00),
    "SOCIAL": (0.05, 0.00, 0.10),
    "OTHER_DX": (0.80, 0.12, 0.05),
    "KNEE_SPRAIN": (0.020, -0.10, 0.00),
    "KNEE_MENISCUS": (0.009, 0.05, -0.10),
    "KNEE_LIGAMENT": (0.005, -0.35, -0.20),
    "KNEE_FRACTURE": (0.002, 0.20, 0.30),
}
INJURY = {"KNEE_SPRAIN": 0.35, "KNEE_MENISCUS": 1.00, "KNEE_LIGAMENT": 1.30, "KNEE_FRACTURE": 1.20}

# lasting drugs: the condition treated, share treated; the refill is 28 days
TREATED: dict[str, tuple[str, float]] = {
    "METFORMIN": ("DIABETES", 0.70),
    "INSULIN": ("DIABETES", 0.20),
    "STATIN": ("LIPIDS", 0.55),
    "URATE_LOWERING": ("GOUT", 0.45),
    "LEVOTHYROXINE": ("THYROID", 0.65),
    "ACE_ARB": ("HYPERTENSION", 0.55),
    "BETA_BLOCKER": ("CORONARY", 0.60),
    "CALCIUM_BLOCKER": ("HYPERTENSION", 0.35),
    "DIURETIC": ("HYPERTENSION", 0.25),
    "ANTIPLATELET": ("CORONARY", 0.75),
    "ANTICOAGULANT": ("ATRIAL_FIB", 0.60),
    "HEART_OTHER": ("HEART_FAILURE", 0.35),
    "BISPHOSPHONATE": ("OSTEOPOROSIS", 0.50),
    "DMARD": ("RHEUMATOID", 0.65),
    "PPI": ("REFLUX", 0.55),
    "INHALED": ("ASTHMA", 0.60),
    "ANTIDEPRESSANT": ("DEPRESSION", 0.55),
    "BENZODIAZEPINE": ("INSOMNIA", 0.30),
    "ANTIEPILEPTIC": ("NEUROLOGICAL", 0.40),
    "EYE_DROPS": ("GLAUCOMA", 0.70),
    "GABAPENTINOID": ("BACK_PAIN", 0.06),
    "IRON_VITAMIN": ("ANAEMIA", 0.50),
}
# one-off prescriptions: the episode that calls for it, share, days of supply
PRESCRIBED: dict[str, tuple[str, float, int]] = {
    "ANTIBIOTIC": ("BRONCHITIS", 0.60, 7),
    "ANTIHISTAMINE": ("SINUSITIS", 0.50, 14),
    "TOPICAL_STEROID": ("DERMATITIS", 0.60, 14),
    "OTHER_RX": ("OTHER_DX", 0.35, 14),
    "MUSCLE_RELAXANT": ("SPRAIN_OTHER", 0.15, 7),
}

# effect on the log hazard of what the record shows
EFFECT = {
    "OA_OTHER": 0.75,
    "RHEUMATOID": 0.60,
    "GOUT": 0.40,
    "BACK_PAIN": 0.35,
    "FOOT_DEFORMITY": 0.40,
    "DIABETES": 0.20,
    "DEPRESSION": 0.25,
    "OSTEOPOROSIS": -0.40,
}
BASE = -7.75  # log hazard per year of a lean man of 30 without any of it
FAMILY_SHARE, FAMILY_EFFECT = 0.25, 0.40
OLD_INJURY_SHARE, OLD_INJURY_EFFECT = 0.10, 0.65
KL_EFFECT = np.array([0.0, 0.8, 1.6])  # of Kellgren-Lawrence grade 0, 1, 2 on an earlier radiograph
SEEN = {"bmi": 0.65, "kl": 0.12, "family": 0.40, "old_injury": 0.50, "urate": 0.30, "crp": 0.35, "hba1c": 0.35}
STATIC = ("bmi", "kl", "family", "old_injury", "urate", "crp", "hba1c")


@dataclass(frozen=True)
class Events:
    """What is recorded, sorted by person: value is days with a diagnosis in the week, or days of supply given out."""

    person: NDArray[np.int32]
    row: NDArray[np.int16]
    week: NDArray[np.int16]  # 0 is the oldest of TIMELINE
    value: NDArray[np.float32]

    def where(self, keep: Bools) -> Events:
        return Events(self.person[keep], self.row[keep], self.week[keep], self.value[keep])


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
    bmi = np.clip(_bmi_mean(age, year) + 4.8 * rng.standard_normal(n), 16, 50)
    sample = _Sampler(rng, start, observed)

    has = {code: rng.random(n) < _chance(code, age, female, bmi) for code in CHRONIC}
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
    visits = _visit_weeks(window, n) / (observed / 52.0)
    injury = _injury_effect(window, n)
    history = _history_effect(window, n, has, visits, injury)
    static, truth = _static(rng, age, female, bmi, has)
    linked = np.stack([has[code] for code in BMI_LINKED], axis=1)
    death = _death_hazard(age, female, has)

    eta = _log_hazard(age, female, year) + history + _bmi_effect(bmi, injury)
    eta += FAMILY_EFFECT * truth["family"] + OLD_INJURY_EFFECT * truth["old_injury"]
    eta += KL_EFFECT[truth["kl"].astype(int)]
    time, status = _outcome(rng, eta, death)
    left = np.minimum(LAST_YEAR - year, rng.exponential(25.0, n))
    status = np.where(time <= left, status, 0)
    leaks = _leaks(rng, age, np.where(time <= 3.0, time, np.inf), status, usage, start)
    return Population(
        age=age,
        female=female,
        index_year=year,
        observed_weeks=observed,
        static=static,
        events=_sorted([events, leaks]),
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
    leaks = _leaks(rng, population.age, times, population.status, np.ones(n), start)
    return replace(population, events=_sorted([kept, leaks]))


def bayes_risk(population: Population) -> Floats:
    """The best risk that the record allows, (N, len(HORIZONS)): cumulative incidence with death competing.

    Missing values are integrated out: body mass index over its distribution given age, the recorded conditions that
    depend on it and the laboratory values; family history, old injury and Kellgren-Lawrence grade over theirs.
    """
    parts = [_bayes_chunk(population.take(keep)) for keep in _chunks(len(population), 2500)]
    return np.concatenate(parts) if parts else np.zeros((0, len(HORIZONS)))


def _chunks(n: int, size: int) -> Iterator[Bools]:
    for first in range(0, n, size):
        keep = np.zeros(n, bool)
        keep[first : first + size] = True
        yield keep


def _bayes_chunk(people: Population) -> Floats:
    nodes = np.arange(16.0, 50.1, 1.0)
    bmi, weight = _bmi_posterior(people, nodes)  # (N, B)
    base = _log_hazard(people.age, people.female, people.index_year) + people.history_effect
    eta = base[:, None] + _bmi_effect(bmi, people.injury[:, None])  # (N, B)
    risk = np.zeros((len(people), len(HORIZONS)))
    kl_prior = _kl_prior(people.age[:, None], bmi)  # (N, B, 3)
    for family in (0, 1):
        p_family = _two_way(people.static["family"], FAMILY_SHARE, family)
        for old in (0, 1):
            p_old = _two_way(people.static["old_injury"], OLD_INJURY_SHARE, old)
            for grade in (0, 1, 2):
                known = people.static["kl"]
                p_grade = np.where(np.isnan(known)[:, None], kl_prior[..., grade], (known == grade)[:, None])
                share = weight * (p_family * p_old)[:, None] * p_grade  # (N, B)
                shift = FAMILY_EFFECT * family + OLD_INJURY_EFFECT * old + KL_EFFECT[grade]
                incidence = _incidence(eta + shift, people.death_hazard[:, None])  # (N, B, H)
                risk += (share[..., None] * incidence).sum(axis=1)
    return risk


def _bmi_posterior(people: Population, nodes: Floats) -> tuple[Floats, Floats]:
    """Values (N, B) and weights (N, B) of body mass index given everything recorded."""
    n = len(people)
    known = ~np.isnan(people.static["bmi"])
    bmi = np.where(known[:, None], np.nan_to_num(people.static["bmi"])[:, None], nodes[None, :])
    log = -0.5 * ((bmi - _bmi_mean(people.age, people.index_year)[:, None]) / 4.8) ** 2
    for number, code in enumerate(BMI_LINKED):
        p = np.clip(_chance(code, people.age[:, None], people.female[:, None], bmi), 1e-12, 1 - 1e-12)
        log += np.where(people.linked[:, number : number + 1], np.log(p), np.log1p(-p))
    gout = people.linked[:, BMI_LINKED.index("GOUT")]
    for name, sd in (("urate", 1.1), ("crp", 0.8)):
        value = people.static[name][:, None]
        log += np.where(np.isnan(value), 0.0, -0.5 * ((value - _lab_mean(name, bmi, gout[:, None])) / sd) ** 2)
    grade = people.static["kl"]
    seen = ~np.isnan(grade)
    prior = _kl_prior(people.age[:, None], bmi)  # (N, B, 3)
    chosen = np.take_along_axis(prior, np.nan_to_num(grade).astype(int)[:, None, None], axis=2)[..., 0]
    log += np.where(seen[:, None], np.log(chosen), 0.0)
    log[known] = 0.0  # every node is the known value there
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    assert weight.shape == (n, len(nodes))
    return bmi, weight / weight.sum(axis=1, keepdims=True)


def _two_way(value: Floats, share: float, wanted: int) -> Floats:
    prior = share if wanted else 1 - share
    return np.where(np.isnan(value), prior, (value == wanted).astype(float))


def _incidence(eta: Floats, death: Floats) -> Floats:
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


def _outcome(rng: np.random.Generator, eta: Floats, death: Floats) -> tuple[Floats, Ints]:
    """Time, years, and kind of what comes first, without anybody leaving."""
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


def _log_hazard(age: Floats, female: Bools, year: Floats) -> Floats:
    by_age = 2.5 / (1 + np.exp(-(age - 57) / 8)) - 0.03 * np.maximum(age - 80, 0)
    women = (0.20 + 0.25 / (1 + np.exp(-(age - 52) / 3))) * female
    return BASE + by_age + women + 0.01 * (year - 2010)


def _bmi_effect(bmi: Floats, injury: Floats) -> Floats:
    return 0.085 * np.clip(bmi - 22, 0, 18) + 0.30 * np.minimum(injury, 1.0) * (bmi > 30)


def _bmi_mean(age: Floats, year: Floats) -> Floats:
    return 26.3 + 0.05 * (np.minimum(age, 70) - 50) + 0.05 * (year - 2010)


def _chance(code: str, age: Floats, female: Bools, bmi: Floats) -> Floats:
    base, per_decade, women, per_bmi, _ = CHRONIC[code]
    return 1 / (1 + np.exp(-(base + per_decade * (age - 50) / 10 + women * female + per_bmi * (bmi - 27))))


def _kl_prior(age: Floats, bmi: Floats) -> Floats:
    """Chance of Kellgren-Lawrence grade 0, 1, 2 before any diagnosis, (..., 3)."""
    some = 1 / (1 + np.exp(-(-1.3 + 0.045 * (age - 55) + 0.07 * (bmi - 27))))
    return np.stack([1 - some, 0.65 * some, 0.35 * some], axis=-1)


def _lab_mean(name: str, bmi: Floats, gout: Bools) -> Floats:
    if name == "urate":  # mg/dL
        return 5.2 + 0.07 * (bmi - 27) + 1.6 * gout
    return 0.6 + 0.06 * (bmi - 27) + 0.0 * gout  # log of C-reactive protein, mg/L


def _static(
    rng: np.random.Generator, age: Floats, female: Bools, bmi: Floats, has: dict[str, Bools]
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Static values as recorded, and as they are."""
    n = len(age)
    truth = {
        "bmi": bmi,
        "kl": (rng.random(n)[:, None] > np.cumsum(_kl_prior(age, bmi), axis=1)).sum(axis=1).astype(float),
        "family": (rng.random(n) < FAMILY_SHARE).astype(float),
        "old_injury": (rng.random(n) < OLD_INJURY_SHARE).astype(float),
        "urate": _lab_mean("urate", bmi, has["GOUT"]) + 1.1 * rng.standard_normal(n),
        "crp": _lab_mean("crp", bmi, has["GOUT"]) + 0.8 * rng.standard_normal(n),
        "hba1c": 5.4 + 1.5 * has["DIABETES"] + 0.5 * rng.standard_normal(n),
    }
    truth["kl"] = np.minimum(truth["kl"], 2.0)
    return {name: np.where(rng.random(n) < SEEN[name], truth[name], np.nan) for name in STATIC}, truth


def _death_hazard(age: Floats, female: Bools, has: dict[str, Bools]) -> Floats:
    log = -6.3 + 0.95 * (age - 50) / 10 - 0.4 * female
    for code, effect in (("HEART_FAILURE", 0.9), ("CANCER", 0.9), ("COPD", 0.6), ("KIDNEY", 0.6), ("DEMENTIA", 1.0)):
        log = log + effect * has[code]
    return np.exp(log)


def _visit_weeks(window: Events, n: int) -> Floats:
    """Weeks with any diagnosis, per person."""
    condition = np.isin(window.row, [ROW[code] for code in (*CHRONIC, *ACUTE)])
    key = np.unique(window.person[condition].astype(np.int64) * TIMELINE + window.week[condition])
    return np.bincount(key // TIMELINE, minlength=n).astype(float)


def _injury_effect(window: Events, n: int) -> Floats:
    """Injuries weigh more as the months pass: cartilage needs time to give in."""
    total = np.zeros(n)
    for code, effect in INJURY.items():
        mine = window.row == ROW[code]
        since = (TIMELINE - GAP - 1 - window.week[mine]) / 104.0
        total += np.bincount(window.person[mine], effect * (0.3 + 0.7 * np.minimum(since, 1.0)), minlength=n)
    return np.minimum(total, 2.0)


def _history_effect(window: Events, n: int, has: dict[str, Bools], visits: Floats, injury: Floats) -> Floats:
    """Sum of the effects that only the record shows."""
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


def _leaks(rng: np.random.Generator, age: Floats, time: Floats, status: Ints, usage: Floats, start: Ints) -> Events:
    """Codes that follow the disease, some weeks before it is named, over a background of everybody's knee pain."""
    n = len(age)
    kinds = {
        "KNEE_PAIN": (0.85, 2.5, 0.06),
        "KNEE_EFFUSION": (0.35, 1.2, 0.010),
        "KNEE_IMAGING": (0.70, 1.3, 0.025),
        "KNEE_INJECTION": (0.25, 1.5, 0.004),
        "HYALURONATE": (0.10, 1.5, 0.002),
        "ORTHO_REFERRAL": (0.45, 1.1, 0.020),
    }
    parts = []
    for code, (share, mean, background) in kinds.items():
        ill = (status == 1) & np.isfinite(time) & (rng.random(n) < share)
        counts = np.where(ill, 1 + rng.poisson(mean, n), 0)
        person = np.repeat(np.arange(n), counts)
        before = 1 + rng.exponential(18.0, len(person))
        week = np.floor(TIMELINE + 52.0 * time[person] - before).astype(np.int64)
        parts.append((code, person, week))
        counts = rng.poisson(background * usage * np.exp(0.2 * (age - 50) / 10) * TIMELINE / 52.0)
        person = np.repeat(np.arange(n), counts)
        parts.append((code, person, rng.integers(0, TIMELINE, len(person))))
    events = [_events(person, ROW[code], week, 28.0 if code == "HYALURONATE" else 1.0) for code, person, week in parts]
    joined = _sorted(events)
    return joined.where((joined.week >= start[joined.person]) & (joined.week < TIMELINE))


def _events(person: Ints, row: int, week: Ints, value: float | NDArray[np.float32]) -> Events:
    values = np.broadcast_to(np.asarray(value, np.float32), person.shape)
    rows = np.full(person.shape, row, np.int16)
    return Events(person.astype(np.int32), rows, week.astype(np.int16), values.astype(np.float32))


def _sorted(parts: list[Events]) -> Events:
    person = np.concatenate([part.person for part in parts])
    order = np.argsort(person, kind="stable")
    return Events(
        person[order],
        np.concatenate([part.row for part in parts])[order],
        np.concatenate([part.week for part in parts])[order],
        np.concatenate([part.value for part in parts])[order],
    )


class _Sampler:
    """Draws what is recorded, code by code, from the week a person is first seen (`start`) to the index date."""

    def __init__(self, rng: np.random.Generator, start: Ints, observed: Ints) -> None:
        self.rng = rng
        self.start = start
        self.observed = observed
        self.n = len(start)
        self.parts: dict[str, list[Events]] = {}

    def add(self, code: str, person: Ints, week: Ints, value: float | NDArray[np.float32] = 1.0) -> None:
        inside = (week >= self.start[person]) & (week < TIMELINE)
        values = np.broadcast_to(np.asarray(value, np.float32), person.shape)[inside]
        self.parts.setdefault(code, []).append(_events(person[inside], ROW[code], week[inside], values))

    def visits(self, code: str, has: Bools, per_year: Floats) -> None:
        """Visits for a lasting condition: at least one where the model can see it."""
        who = np.flatnonzero(has)
        first = TIMELINE - GAP - self.observed[who] + np.floor(self.rng.random(len(who)) * self.observed[who])
        self.add(code, who, first.astype(np.int64))
        self.episodes(code, np.where(has, per_year, 0.0))

    def episodes(self, code: str, per_year: Floats) -> None:
        length = TIMELINE - self.start
        person = np.repeat(np.arange(self.n), self.rng.poisson(per_year * length / 52.0))
        week = self.start[person] + np.floor(self.rng.random(len(person)) * length[person]).astype(np.int64)
        self.add(code, person, week)

    def refills(self, code: str, who: Bools, adherence: float = 0.85) -> None:
        """A refill of 28 days every four weeks, some missed, for some beginning in the middle."""
        person = np.flatnonzero(who)
        begin = np.where(self.rng.random(len(person)) < 0.3, self.rng.integers(0, TIMELINE, len(person)), 0)
        self.course(code, person, begin, np.full(len(person), TIMELINE), adherence)

    def course(self, code: str, person: Ints, begin: Ints, weeks: Ints, adherence: float = 0.9) -> None:
        slots = TIMELINE // 4 + 1
        phase = self.rng.integers(0, 4, len(person))
        week = (begin + phase)[:, None] + 4 * np.arange(slots)[None, :]
        taken = (week < (begin + weeks)[:, None]) & (self.rng.random(week.shape) < adherence)
        self.add(code, np.repeat(person, slots)[taken.ravel()], week[taken], 28.0)

    def prescriptions(self, code: str, condition: str, share: float, days: int) -> None:
        for events in self.parts.get(condition, ()):
            chosen = self.rng.random(len(events.person)) < share
            self.add(code, events.person[chosen].astype(np.int64), events.week[chosen].astype(np.int64), float(days))

    def pain(self, age: Floats, has: dict[str, Bools]) -> None:
        """Painkillers: some now and then, some in episodes, some begun and kept up; the last matter most."""
        rng, n = self.rng, self.n
        need = 0.02 * (age - 50) + 0.9 * has["OA_OTHER"] + 0.9 * has["BACK_PAIN"] + 0.5 * has["GOUT"]
        for code, base in (("NSAID", -0.7), ("PARACETAMOL", -1.2), ("OPIOID", -2.9)):
            user = rng.random(n) < 1 / (1 + np.exp(-(base + need)))
            kind = rng.choice(3, n, p=[0.45, 0.30, 0.25])
            person = np.repeat(np.arange(n), np.where(user & (kind == 0), rng.poisson(3.0, n), 0))
            self.add(code, person, rng.integers(0, TIMELINE, len(person)), 14.0)
            person = np.repeat(np.arange(n), np.where(user & (kind == 1), 1 + rng.poisson(0.8, n), 0))
            self.course(code, person, rng.integers(0, TIMELINE, len(person)), rng.integers(6, 26, len(person)))
            person = np.flatnonzero(user & (kind == 2))
            self.course(code, person, rng.integers(0, TIMELINE, len(person)), np.full(len(person), TIMELINE))
        topical = np.flatnonzero(rng.random(n) < 0.12)
        self.course(
            "NSAID_TOPICAL", topical, rng.integers(0, TIMELINE, len(topical)), rng.integers(4, 16, len(topical))
        )

    def rehabilitation(self) -> None:
        """Physiotherapy for some weeks after some of the injuries, surgery after a few of them."""
        for code, surgery in (("KNEE_SPRAIN", 0.0), ("KNEE_MENISCUS", 0.35), ("KNEE_LIGAMENT", 0.45)):
            for events in list(self.parts.get(code, ())):
                chosen = self.rng.random(len(events.person)) < 0.5
                person, week = events.person[chosen].astype(np.int64), events.week[chosen].astype(np.int64)
                for session in range(6):
                    self.add("PHYSIOTHERAPY", person, week + 2 + session)
                operated = self.rng.random(len(events.person)) < surgery
                person, week = events.person[operated].astype(np.int64), events.week[operated].astype(np.int64)
                self.add("KNEE_SURGERY", person, week + self.rng.integers(2, 12, len(person)))

    def events(self) -> Events:
        return _sorted([part for parts in self.parts.values() for part in parts])
