"""Bias and limits, kappa, Dice and differences, held against figures that were worked out another way."""

from __future__ import annotations

import numpy as np
import pytest

from node.models.agreement import FEWEST, dice, kappa, limits, rmse


def test_bias_and_limits_are_those_of_the_definition() -> None:
    first, second = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.5, 2.0, 3.7, 4.1, 5.9, 6.2]
    found = limits(first, second, range(6))
    differences = [0.5, 0.0, 0.7, 0.1, 0.9, 0.2]
    bias = sum(differences) / 6
    spread = (sum((one - bias) ** 2 for one in differences) / 5) ** 0.5
    assert (found.values, found.jobs) == (6, 6)
    assert found.bias == pytest.approx(bias)
    assert (found.lower, found.upper) == pytest.approx((bias - 1.96 * spread, bias + 1.96 * spread))
    assert found.largest == pytest.approx(0.9)


def test_the_intervals_hold_what_the_values_come_from_and_narrow_with_more_of_them() -> None:
    rng = np.random.default_rng(5)
    widths = []
    for number in (20, 500):
        differences = rng.normal(2.0, 1.0, number)
        found = limits([0.0] * number, list(differences), range(number))
        assert found.bias_interval is not None
        assert found.upper_interval is not None
        assert found.bias_interval[0] < 2.0 < found.bias_interval[1]
        widths.append(found.bias_interval[1] - found.bias_interval[0])
        low, high = found.upper_interval
    assert low < 2.0 + 1.96 < high
    assert widths[1] == pytest.approx(2 * 1.96 / 500**0.5, rel=0.15)  # of the mean of 500 of that spread
    assert widths[0] > 3 * widths[1]


def test_values_of_one_job_are_not_taken_for_independent_ones() -> None:
    rng = np.random.default_rng(2)
    shared = np.repeat(rng.normal(0.0, 1.0, 30), 20)  # all 20 values of a job differ by the same
    apart, together = (limits([0.0] * 600, list(shared), jobs) for jobs in (range(600), sorted([*range(30)] * 20)))
    widths = [one.bias_interval[1] - one.bias_interval[0] for one in (apart, together) if one.bias_interval]
    assert widths[1] > 3 * widths[0]


def test_of_few_jobs_only_bias_and_the_largest_difference_are_told() -> None:
    number = FEWEST - 1
    found = limits([0.0] * number, [1.0] * number, range(number))
    assert (found.bias, found.largest, found.lower, found.upper, found.bias_interval) == (1.0, 1.0, None, None, None)
    graded = kappa(["A"] * number, ["A"] * (number - 1) + ["B"], range(number))
    assert (graded.kappa, graded.agreed) == (None, 0.75)


def test_kappa_of_named_grades_is_cohens() -> None:
    first = ["A"] * 25 + ["B"] * 25  # the table 20 5 / 10 15 of Cohen's example: 0.4
    second = ["A"] * 20 + ["B"] * 5 + ["A"] * 10 + ["B"] * 15
    found = kappa(first, second, range(50))
    assert (found.agreed, found.weights) == (0.7, "")
    assert found.kappa == pytest.approx(0.4)
    assert found.interval is not None
    assert found.interval[0] < 0.4 < found.interval[1]


def test_grades_that_end_in_numbers_are_ordered() -> None:
    first, second = ["KL-0", "KL-1", "KL-2", "KL-10", "KL-2"], ["KL-0", "KL-1", "KL-2", "KL-2", "KL-2"]
    found = kappa(first, second, range(5))
    assert found.weights == "quadratic"
    grades = {"KL-0": 0, "KL-1": 1, "KL-2": 2, "KL-10": 3}  # by number, not by letter
    one, two = ([grades[grade] for grade in row] for row in (first, second))
    observed = sum((a - b) ** 2 for a, b in zip(one, two, strict=True)) / 5
    expected = sum((a - b) ** 2 for a in one for b in two) / 25
    assert found.kappa == pytest.approx(1 - observed / expected)


def test_of_one_grade_only_there_is_no_kappa() -> None:
    found = kappa(["A"] * 9, ["A"] * 9, range(9))
    assert (found.kappa, found.agreed) == (None, 1.0)


def test_dice_and_differences() -> None:
    one, two = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    one[:2], two[1:3] = True, True
    assert dice(one, two) == 0.5  # 2 * 4 / (8 + 8)
    assert dice(one & False, two & False) == 1.0
    assert rmse(np.array([1, 2, 3], np.int16), np.array([1.0, 2.0, 6.0], np.float32)) == pytest.approx(3**0.5)
