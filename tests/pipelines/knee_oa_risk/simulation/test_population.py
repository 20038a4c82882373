"""The simulated register: reproducible, and confounded as life is."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_oa_risk.simulation.population import Population, simulate
from pipelines.knee_oa_risk.training.measures import censoring_weights


@pytest.fixture(scope="module")
def people() -> Population:
    return simulate(12_000, seed=11)


def test_the_same_seed_gives_the_same_people() -> None:
    one, two = simulate(200, 5), simulate(200, 5)
    assert np.array_equal(one.time, two.time)
    assert np.array_equal(one.events.week, two.events.week)


def test_use_of_care_confounds(people: Population) -> None:
    """Who sees doctors often has more of everything on record, and is diagnosed more often."""
    often = people.visits_per_year > np.median(people.visits_per_year)
    counts = np.bincount(people.events.person, minlength=len(people))
    weight, case = censoring_weights(people.time, people.status, 5)
    assert counts[often].mean() > 1.5 * counts[~often].mean()
    assert np.average(case[often], weights=weight[often]) > 1.3 * np.average(case[~often], weights=weight[~often])


def test_taking_people_keeps_their_events() -> None:
    people = simulate(100, 1)
    some = people.take(people.female)
    theirs = np.bincount(people.events.person, minlength=100)[people.female]
    assert np.array_equal(np.bincount(some.events.person, minlength=len(some)), theirs)
