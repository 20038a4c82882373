"""The hazard of the simulated people."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_oa_risk.simulation.hazard import cumulative_incidence, first_event, kl_prior
from pipelines.knee_oa_risk.window import HORIZONS


def test_the_cumulative_incidence_is_the_share_of_people_whose_first_event_it_is() -> None:
    rng = np.random.default_rng(0)
    people = 40_000
    eta, death = np.full(people, -2.5), np.full(people, 0.05)
    time, status = first_event(rng, eta, death)
    for horizon, expected in zip(HORIZONS, cumulative_incidence(eta[:1], death[:1])[0], strict=True):
        observed = ((status == 1) & (time <= horizon)).mean()
        assert observed == pytest.approx(expected, abs=4 * np.sqrt(expected / people))  # four standard errors


def test_grades_exclude_each_other_and_grow_likelier_with_age() -> None:
    young, old = kl_prior(np.array([40.0, 80.0]), np.array([27.0, 27.0]))
    assert young.sum() == pytest.approx(1.0)
    assert old.sum() == pytest.approx(1.0)
    assert old[0] < young[0]
