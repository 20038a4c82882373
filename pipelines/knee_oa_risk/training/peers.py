"""How high the risks of people of the same sex and age are: the table that a report compares with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_oa_risk.training.cohort import Cohort

FEWEST_PEERS = 30


def peer_table(people: Cohort, risk: NDArray[np.float64]) -> list[dict[str, object]]:
    """Quantiles of the risk of people of one sex and five years of age, or the narrowest wider band with enough."""
    rows: list[dict[str, object]] = []
    for sex, female in (("F", 1.0), ("M", 0.0)):
        for youngest in range(30, 90, 5):
            words, ages, mine = _peers(people, female, youngest)
            quantiles = np.quantile(risk[mine], [0.1, 0.25, 0.5, 0.75, 0.9], axis=0).T.round(5).tolist()
            rows.append(
                {
                    "sex": sex,
                    "youngest": youngest,
                    "words": words,
                    "ages": ages,
                    "persons": int(mine.sum()),
                    "quantiles": quantiles,
                }
            )
    return rows


def _peers(people: Cohort, female: float, youngest: int) -> tuple[str, tuple[int, int], NDArray[np.bool_]]:
    """The narrowest band round `youngest` with enough people: its name, its ages, and a mask (N,) of its people.

    Where one sex has too few people at any width, the band holds both sexes.
    """
    for words, sex in (({1.0: "women", 0.0: "men"}[female], people.female == female), ("people", people.age > 0)):
        for wider in range(0, 65, 5):
            first, last = max(youngest - wider, 30), min(youngest + 4 + wider, 90)
            mine = sex & (people.age >= first) & (people.age < last + 1)
            if mine.sum() >= FEWEST_PEERS:
                return words, (first, last), mine
    raise ValueError(f"needs at least {FEWEST_PEERS} people of 30 to 90 years")
