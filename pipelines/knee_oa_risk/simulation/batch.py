"""Simulated people as the network sees them."""

from __future__ import annotations

import numpy as np

from pipelines.knee_oa_risk.matrix import DIAGNOSIS_SCALE, MEDICATION_SCALE, Batch, static_vector
from pipelines.knee_oa_risk.simulation.events import TIMELINE
from pipelines.knee_oa_risk.simulation.population import Population
from pipelines.knee_oa_risk.vocabulary import concepts, matrix_codes
from pipelines.knee_oa_risk.window import GAP, WEEKS


def from_population(population: Population, with_leaks: bool = False, gap_weeks: int = GAP) -> Batch:
    """The simulated people with `gap_weeks` of wash-out before their index dates.

    Parameters
    ----------
    population
        Simulated people.
    with_leaks
        Whether to keep the codes that follow the disease.
    gap_weeks
        Of wash-out.
    """
    rows = matrix_codes(with_leaks)
    medication = np.array([concepts()[code].kind == "medication" for code in rows])
    first = TIMELINE - gap_weeks - WEEKS
    events = population.events
    keep = (events.row < len(rows)) & (events.week >= first) & (events.week < first + WEEKS)
    events = events.where(keep)
    row = events.row.astype(np.int64)
    value = events.value / np.where(medication[row], MEDICATION_SCALE, DIAGNOSIS_SCALE)
    n = len(population)
    codes = np.bincount(np.unique(events.person.astype(np.int64) * len(rows) + row) // len(rows), minlength=n)
    static = static_vector(
        population.age,
        population.female.astype(float),
        population.visits_per_year,
        codes.astype(float),
        population.observed_weeks.astype(float),
        population.static,
    )
    week = events.week.astype(np.int64) - first
    return Batch.collect(events.person.astype(np.int64), row, week, value, static, len(rows))
