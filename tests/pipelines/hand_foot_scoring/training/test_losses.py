"""Losses against the formulas, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pipelines.hand_foot_scoring.heads import LOSSES, distribution, outputs
from pipelines.hand_foot_scoring.training.losses import gaussian_target, grade_loss, local_smoothing_target


def test_local_smoothing_gives_neighbours_half_each_and_the_one_neighbour_of_an_end_all() -> None:
    target = local_smoothing_target(torch.tensor([0.0, 2.0, 4.0]), 4, 0.3)
    expected = torch.tensor([[0.7, 0.3, 0, 0, 0], [0, 0.15, 0.7, 0.15, 0], [0, 0, 0, 0.3, 0.7]])
    torch.testing.assert_close(target, expected)


def test_a_half_grade_is_split_before_it_is_smoothed() -> None:
    target = local_smoothing_target(torch.tensor([2.5]), 5, 0.2)[0]
    # half of the smoothed 2 and half of the smoothed 3
    torch.testing.assert_close(target, torch.tensor([0, 0.05, 0.45, 0.45, 0.05, 0]))


def test_without_smoothing_it_is_cross_entropy() -> None:
    raw, grade = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0.0, 1, 2, 3, 4, 2])
    plain = torch.nn.functional.cross_entropy(raw, grade.long())
    torch.testing.assert_close(grade_loss("local_smoothing", raw, grade, 4, smoothing=0.0), plain)
    torch.testing.assert_close(grade_loss("cross_entropy", raw, grade, 4), plain)


@pytest.mark.parametrize("smoothing", [0.5, 0.7, -0.1])
def test_smoothing_that_would_move_the_likeliest_grade_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match="moves"):
        local_smoothing_target(torch.tensor([1.0]), 4, smoothing)


def test_gaussian_labels_fall_off_with_the_squared_distance() -> None:
    target = gaussian_target(torch.tensor([1.0]), 3, spread=1.0)[0]
    weights = [math.exp(-0.5), 1, math.exp(-0.5), math.exp(-2)]
    torch.testing.assert_close(target, torch.tensor(weights) / sum(weights))


def test_mean_squared_error_counts_grades() -> None:
    raw = torch.tensor([[0.5], [1.0]])  # of a scale of 4: grades 2 and 4
    assert float(grade_loss("mse", raw, torch.tensor([1.0, 4.0]), 4)) == pytest.approx(0.5)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_a_grade_that_the_input_shows_and_leaves_unknown_ones_out(loss: str) -> None:
    torch.manual_seed(0)
    grade = torch.arange(5.0).repeat(20)
    known = grade.clone()
    known[::7] = -1
    head = torch.nn.Linear(5, outputs(loss, 4))  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(head.parameters(), lr=0.1)
    inputs = torch.nn.functional.one_hot(grade.long(), 5).float()
    for _ in range(300):
        optimiser.zero_grad()
        grade_loss(loss, head(inputs), known, 4).backward()  # type: ignore[arg-type,no-untyped-call]
        optimiser.step()
    expected = distribution(loss, head(inputs).detach(), 4) @ torch.arange(5.0)  # type: ignore[arg-type]
    assert float((expected - grade).abs().max()) < 0.75
    assert float(grade_loss(loss, head(inputs).detach(), torch.full((100,), -1.0), 4)) == 0  # type: ignore[arg-type]
