"""What is recorded of the simulated people."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_oa_risk.simulation.events import TIMELINE
from pipelines.knee_oa_risk.simulation.population import Population, simulate
from pipelines.knee_oa_risk.simulation.rates import INPUTS
from pipelines.knee_oa_risk.window import GAP, WEEKS


@pytest.fixture(scope="module")
def people() -> Population:
    return simulate(12_000, seed=11)


def test_leaking_codes_crowd_before_the_diagnosis(people: Population) -> None:
    leaking = people.events.where(people.events.row >= INPUTS)
    last = leaking.where(leaking.week >= TIMELINE - 26)
    counts = np.bincount(last.person, minlength=len(people))
    soon = (people.status == 1) & (people.time < 0.3)
    assert counts[soon].mean() > 5 * counts[~soon].mean()


def test_nobody_has_entries_before_being_first_seen(people: Population) -> None:
    short = people.observed_weeks < WEEKS
    start = np.where(short, TIMELINE - GAP - people.observed_weeks, 0)
    assert short.any()
    assert (people.events.week >= start[people.events.person]).all()
