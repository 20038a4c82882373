"""The best risk that a simulated record allows: the hazard is known, and missing values are integrated out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_oa_risk.simulation.hazard import (
    bmi_effect,
    bmi_mean,
    condition_chance,
    cumulative_incidence,
    kl_prior,
    laboratory_mean,
    log_hazard,
)
from pipelines.knee_oa_risk.simulation.population import Population
from pipelines.knee_oa_risk.simulation.rates import (
    BMI_LINKED,
    FAMILY_EFFECT,
    FAMILY_SHARE,
    KL_EFFECT,
    OLD_INJURY_EFFECT,
    OLD_INJURY_SHARE,
)
from pipelines.knee_oa_risk.window import HORIZONS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


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
    base = log_hazard(people.age, people.female, people.index_year) + people.history_effect
    eta = base[:, None] + bmi_effect(bmi, people.injury[:, None])  # (N, B)
    risk = np.zeros((len(people), len(HORIZONS)))
    prior = kl_prior(people.age[:, None], bmi)  # (N, B, 3)
    for family in (0, 1):
        p_family = _flag_probability(people.static["family"], FAMILY_SHARE, family)
        for old in (0, 1):
            p_old = _flag_probability(people.static["old_injury"], OLD_INJURY_SHARE, old)
            for grade in (0, 1, 2):
                known = people.static["kl"]
                p_grade = np.where(np.isnan(known)[:, None], prior[..., grade], (known == grade)[:, None])
                share = weight * (p_family * p_old)[:, None] * p_grade  # (N, B)
                shift = FAMILY_EFFECT * family + OLD_INJURY_EFFECT * old + KL_EFFECT[grade]
                incidence = cumulative_incidence(eta + shift, people.death_hazard[:, None])  # (N, B, H)
                risk += (share[..., None] * incidence).sum(axis=1)
    return risk


def _bmi_posterior(people: Population, nodes: Floats) -> tuple[Floats, Floats]:
    """Values (N, B) and weights (N, B) of body mass index given everything recorded."""
    n = len(people)
    known = ~np.isnan(people.static["bmi"])
    bmi = np.where(known[:, None], np.nan_to_num(people.static["bmi"])[:, None], nodes[None, :])
    log = -0.5 * ((bmi - bmi_mean(people.age, people.index_year)[:, None]) / 4.8) ** 2
    for number, code in enumerate(BMI_LINKED):
        p = np.clip(condition_chance(code, people.age[:, None], people.female[:, None], bmi), 1e-12, 1 - 1e-12)
        log += np.where(people.linked[:, number : number + 1], np.log(p), np.log1p(-p))
    gout = people.linked[:, BMI_LINKED.index("GOUT")]
    for name, sd in (("urate", 1.1), ("crp", 0.8)):
        value = people.static[name][:, None]
        log += np.where(np.isnan(value), 0.0, -0.5 * ((value - laboratory_mean(name, bmi, gout[:, None])) / sd) ** 2)
    grade = people.static["kl"]
    seen = ~np.isnan(grade)
    prior = kl_prior(people.age[:, None], bmi)  # (N, B, 3)
    chosen = np.take_along_axis(prior, np.nan_to_num(grade).astype(int)[:, None, None], axis=2)[..., 0]
    log += np.where(seen[:, None], np.log(chosen), 0.0)
    log[known] = 0.0  # every node is the known value there
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    assert weight.shape == (n, len(nodes))
    return bmi, weight / weight.sum(axis=1, keepdims=True)


def _flag_probability(value: Floats, share: float, wanted: int) -> Floats:
    prior = share if wanted else 1 - share
    return np.where(np.isnan(value), prior, (value == wanted).astype(float))
