import itertools

import pytest
import torch
from torch import nn

from pipelines.lab.schedules import warm_up_then_cosine


def _rates(steps: int, warm_up: int, least: float = 0.0) -> list[float]:
    optimiser = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=2.0)
    schedule = warm_up_then_cosine(optimiser, steps, warm_up, least)
    rates = []
    for _ in range(steps):
        rates.append(float(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        schedule.step()
    return rates


def test_the_rate_rises_in_a_line_and_falls_along_half_a_cosine() -> None:
    rates = _rates(100, 8)
    assert rates[:8] == pytest.approx([2.0 * (step + 1) / 8 for step in range(8)])
    assert rates[8] == pytest.approx(2.0)
    assert rates[54] == pytest.approx(1.0)  # half way between the end of the rise and the end
    assert 0 < rates[-1] < 0.002
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[8:]))


def test_a_rise_of_one_step_is_none_and_the_fall_ends_where_it_is_told_to() -> None:
    rates = _rates(50, 1, least=0.5)
    assert rates[0] == pytest.approx(2.0)
    assert rates[-1] == pytest.approx(0.5, abs=0.01)


def test_a_training_as_short_as_its_rise_has_no_fall() -> None:
    assert _rates(2, 2) == pytest.approx([1.0, 2.0])
