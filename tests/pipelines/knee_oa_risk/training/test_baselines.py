"""What every risk is held against."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.training.baselines import age_sex, age_sex_visits, baseline_risks, code_counts, tree_counts
from pipelines.knee_oa_risk.training.measures import auroc, censoring_weights
from pipelines.knee_oa_risk.window import STATIC


def test_counts_are_the_sums_of_each_codes_weeks() -> None:
    batch = from_population(simulate(60, 2))
    assert np.allclose(code_counts(batch), batch.dense().sum(axis=2), atol=1e-4)


def test_age_and_sex_are_all_that_the_simplest_baseline_sees() -> None:
    people = simulate(60, 2)
    batch = from_population(people)
    features = age_sex(batch, people)
    assert (features[~people.female, 5:] == 0).all()
    assert np.array_equal(features[people.female, 5:], features[people.female, :4])
    assert age_sex_visits(batch, people).shape == (60, features.shape[1] + 1)


def test_trees_see_what_is_missing_as_missing() -> None:
    people = simulate(60, 2)
    features = tree_counts(from_population(people), people)
    for place, name in enumerate(STATIC, start=features.shape[1] - len(STATIC)):
        assert np.array_equal(features[:, place], people.static[name], equal_nan=True)


def test_age_and_sex_alone_rank_people_better_than_chance_and_a_later_horizon_has_more_cases() -> None:
    train, test = simulate(3000, 5), simulate(1500, 6)
    risk = baseline_risks("age + sex", (from_population(train), train), (from_population(test), test), (1, 5))
    assert risk.shape == (1500, 2)
    assert risk[:, 1].mean() > 2 * risk[:, 0].mean()
    weight, case = censoring_weights(test.time, test.status, 5)
    assert 0.55 < auroc(risk[:, 1], case, weight) < 0.85
    assert np.average(case, weights=weight) == pytest.approx(risk[:, 1].mean(), abs=0.04)
