"""The simulated register: reproducible, and its Bayes-optimal risk is what it says."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_oa_risk.simulation import population as sim
from pipelines.knee_oa_risk.training.measures import auroc, censoring_weights


@pytest.fixture(scope="module")
def people() -> sim.Population:
    return sim.simulate(12_000, seed=11)


@pytest.fixture(scope="module")
def risk(people):
    return sim.bayes_risk(people)


def test_the_same_seed_gives_the_same_people():
    one, two = sim.simulate(200, 5), sim.simulate(200, 5)
    assert np.array_equal(one.time, two.time)
    assert np.array_equal(one.events.week, two.events.week)


def test_the_bayes_optimal_risk_is_calibrated_in_every_tenth_and_at_every_horizon(people, risk):
    for number, horizon in enumerate(sim.HORIZONS):
        weight, case = censoring_weights(people.time, people.status, horizon)
        edges = np.quantile(risk[:, number], np.linspace(0, 1, 11)[1:-1])
        place = np.searchsorted(edges, risk[:, number])
        for tenth in range(10):
            mine = place == tenth
            expected = np.average(risk[mine, number], weights=weight[mine])
            observed = np.average(case[mine], weights=weight[mine])
            # four standard errors of a proportion: one of 30 tenths would fail by chance once in 500 seeds
            error = np.sqrt(expected * (1 - expected) / (weight[mine] > 0).sum())
            assert abs(observed - expected) < 4 * error + 1e-3


def test_nothing_that_the_record_shows_beats_the_bayes_optimal_risk(people, risk):
    weight, case = censoring_weights(people.time, people.status, 5)
    best = auroc(risk[:, -1], case, weight)
    for score in (people.age, people.history_effect, people.visits_per_year, risk[:, 0] + 0.02 * people.female):
        assert auroc(np.asarray(score, float), case, weight) < best + 1e-3


def test_use_of_care_confounds(people):
    """Who sees doctors often has more of everything on record, and is diagnosed more often."""
    often = people.visits_per_year > np.median(people.visits_per_year)
    counts = np.bincount(people.events.person, minlength=len(people))
    weight, case = censoring_weights(people.time, people.status, 5)
    assert counts[often].mean() > 1.5 * counts[~often].mean()
    assert np.average(case[often], weights=weight[often]) > 1.3 * np.average(case[~often], weights=weight[~often])


def test_leaking_codes_crowd_before_the_diagnosis(people):
    leaking = people.events.where(people.events.row >= sim.INPUTS)
    last = leaking.where(leaking.week >= sim.TIMELINE - 26)
    counts = np.bincount(last.person, minlength=len(people))
    soon = (people.status == 1) & (people.time < 0.3)
    assert counts[soon].mean() > 5 * counts[~soon].mean()


def test_nobody_has_entries_before_being_first_seen(people):
    short = people.observed_weeks < sim.WEEKS
    start = np.where(short, sim.TIMELINE - sim.GAP - people.observed_weeks, 0)
    assert short.any()
    assert (people.events.week >= start[people.events.person]).all()


def test_taking_people_keeps_their_events():
    people = sim.simulate(100, 1)
    some = people.take(people.female)
    theirs = np.bincount(people.events.person, minlength=100)[people.female]
    assert np.array_equal(np.bincount(some.events.person, minlength=len(some)), theirs)
