"""Simulated people as the network sees them."""

from __future__ import annotations

import numpy as np

from pipelines.knee_oa_risk.matrix import STATIC_NAMES
from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.events import TIMELINE
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.vocabulary import matrix_codes
from pipelines.knee_oa_risk.window import GAP, WEEKS


def test_a_longer_wash_out_moves_the_window_back() -> None:
    people = simulate(80, 2)
    usual, longer = from_population(people).dense(), from_population(people, gap_weeks=GAP + 10).dense()
    assert np.allclose(longer[:, :, 10:], usual[:, :, :-10], atol=1e-6)
    assert longer.any()


def test_what_is_recorded_in_the_wash_out_is_not_seen() -> None:
    people = simulate(80, 2)
    seen = from_population(people)
    without = people.events.where(people.events.week < TIMELINE - GAP)
    filled = {(int(p), int(r)) for p, r in zip(without.person, without.row, strict=True)}
    assert {(int(p), int(r)) for p, r in zip(seen.person, seen.row, strict=True)} <= filled
    assert seen.week.max() < WEEKS


def test_the_codes_that_follow_the_disease_are_left_out_unless_asked_for() -> None:
    people = simulate(400, 2)
    usual, leaking = from_population(people), from_population(people, with_leaks=True)
    assert usual.rows == len(matrix_codes())
    assert leaking.rows == len(matrix_codes(True)) > usual.rows
    assert np.array_equal(leaking.dense()[:, : usual.rows], usual.dense())
    assert leaking.dense()[:, usual.rows :].any()


def test_a_value_that_nobody_took_is_flagged() -> None:
    people = simulate(80, 2)
    static = from_population(people).static
    missing = static[:, STATIC_NAMES.index("bmi missing")] == 1.0
    assert np.array_equal(missing, np.isnan(people.static["bmi"]))
    assert missing.any()
    assert not missing.all()
