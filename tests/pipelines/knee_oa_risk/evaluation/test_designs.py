"""Designs of a study, on simulated people whose cases and controls can be counted."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_oa_risk.evaluation.designs import case_control
from pipelines.knee_oa_risk.simulation.population import Population, simulate


@pytest.fixture(scope="module")
def people() -> Population:
    return simulate(6000, 5, ages=(18.0, 90.0))


def mean_ages(study: Population) -> tuple[float, float]:
    return float(study.age[study.status == 1].mean()), float(study.age[study.status == 0].mean())


def test_every_case_of_the_first_year_is_in_and_has_at_most_four_controls(people: Population) -> None:
    study = case_control(people, matched=True, seed=1)
    cases = int(((people.status == 1) & (people.time < 1.0)).sum())
    assert int((study.status == 1).sum()) == cases > 20
    assert 3 * cases < int((study.status == 0).sum()) <= 4 * cases
    assert set(np.unique(study.time)) == {0.5, 6.0}  # so that the outcome at one year is known of everybody


def test_matching_takes_away_the_difference_in_age_that_random_controls_leave(people: Population) -> None:
    case, control = mean_ages(case_control(people, matched=True, seed=1))
    assert case == pytest.approx(control, abs=1.0)
    case, control = mean_ages(case_control(people, matched=False, seed=1))
    assert case > control + 4
