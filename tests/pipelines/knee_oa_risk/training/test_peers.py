"""The table of peers."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.training.peers import FEWEST_PEERS, peer_table


def test_each_band_holds_the_quantiles_of_its_people() -> None:
    people = simulate(5000, 2)
    risk = np.stack([people.age / 100, people.age / 90, people.age / 80], axis=1)
    row = next(row for row in peer_table(people, risk) if (row["sex"], row["youngest"]) == ("F", 60))
    mine = people.female & (people.age >= 60) & (people.age < 65)
    assert (row["words"], row["ages"], row["persons"]) == ("women", (60, 64), mine.sum())
    assert row["quantiles"][0][2] == pytest.approx(np.median(risk[mine, 0]), abs=1e-5)  # type: ignore[index]


def test_a_band_with_too_few_people_is_widened_until_there_are_enough() -> None:
    people = simulate(400, 2)
    rows = peer_table(people, np.zeros((400, 3)))
    assert all(row["persons"] >= FEWEST_PEERS for row in rows)  # type: ignore[operator]
    assert any(row["ages"] != (row["youngest"], row["youngest"] + 4) for row in rows)  # type: ignore[operator]


def test_too_few_people_altogether_are_refused() -> None:
    people = simulate(FEWEST_PEERS - 1, 2)
    with pytest.raises(ValueError, match="needs at least 30 people"):
        peer_table(people, np.zeros((len(people), 3)))
