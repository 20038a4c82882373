"""Shares and differences of readers and node, held against figures that were worked out another way."""

from __future__ import annotations

from collections import Counter

import pytest

from dicom_sr.assessment import Answer
from node.verdicts.agreement import FEWEST, Reading, Value, agreement, changed_in, grouped, whole

ACCEPT, MODIFY, REJECT = Answer.ACCEPT, Answer.MODIFY, Answer.REJECT


def reading(number: int, answer: Answer = ACCEPT, *values: Value, version: str = "1.0") -> Reading:
    """What a reader says of the result of one study."""
    study = f"1.2.{number}"
    return Reading(study, study, "reader", "hands", version, "ACME One", "2026-11", answer, Counter([answer]), values)


def score(ours: float, readers: float) -> Value:
    return Value("Erosion score", "", ours, readers, points=True, grade=True)


def test_the_share_that_is_accepted_has_the_interval_of_wilson() -> None:
    found = agreement([reading(number, ACCEPT if number < 15 else REJECT) for number in range(20)]).share
    # by the formula, for 15 of 20 and z = 1.959964
    middle, half, spread = (0.75 + 3.841459 / 40) / (1 + 3.841459 / 20), 0.75 * 0.25 / 20, 3.841459 / 1600
    reach = 1.959964 * (half + spread) ** 0.5 / (1 + 3.841459 / 20)
    assert found.accepted == 0.75
    assert found.interval == pytest.approx((middle - reach, middle + reach))
    assert (found.readings, found.studies, found.answers[REJECT]) == (20, 20, 5)


def test_of_few_readings_only_their_numbers_are_told() -> None:
    found = agreement([reading(number, MODIFY, score(2.0, 3.0)) for number in range(FEWEST - 1)])
    (numbers,) = found.numbers
    assert (found.share.accepted, found.share.interval, found.share.answers[MODIFY]) == (None, None, FEWEST - 1)
    assert (numbers.limits.bias, numbers.limits.lower, numbers.near, numbers.kappa) == (1.0, None, None, None)


def test_what_a_reader_left_as_it_was_counts_as_no_difference() -> None:
    changed = [reading(number, MODIFY, score(2.0, 3.0), score(4.0, 4.0)) for number in range(5)]
    kept = [reading(number, ACCEPT, score(1.0, 1.0), score(0.0, 0.0)) for number in range(5, 20)]
    (numbers,) = agreement([*changed, *kept]).numbers
    assert (numbers.limits.values, numbers.limits.jobs) == (40, 20)
    assert numbers.limits.bias == pytest.approx(5 / 40)
    assert numbers.near == pytest.approx(35 / 40)
    assert numbers.near_interval is not None
    assert numbers.near_interval[0] < 35 / 40 < numbers.near_interval[1]
    assert numbers.kappa is not None
    # quadratic weights: 1 - observed over expected mean square; readers 3, 4, 1, 0 and node 2, 4, 1, 0
    node, readers = [2] * 5 + [4] * 5 + [1] * 15 + [0] * 15, [3] * 5 + [4] * 5 + [1] * 15 + [0] * 15
    chance = sum((a - b) ** 2 for a in node for b in readers) / 40
    assert numbers.kappa.kappa == pytest.approx(1 - 5 / chance)


def test_values_that_no_reader_ever_changed_are_left_out() -> None:
    sure = Value("Confidence", "", 0.8, 0.8)
    readings = [reading(number, MODIFY, score(1.0, 2.0), sure) for number in range(12)]
    assert changed_in(readings) == {"Erosion score"}
    assert [numbers.name for numbers in agreement(readings).numbers] == ["Erosion score"]


def test_codes_are_compared_by_kappa() -> None:
    codes = [Value("Class", "", "99X:A", "99X:A" if number % 4 else "99X:B") for number in range(12)]
    codes += [Value("Class", "", "99X:B", "99X:B") for _ in range(12)]
    found = agreement([reading(number, MODIFY, value) for number, value in enumerate(codes)]).codes["Class"]
    assert found.agreed == pytest.approx(21 / 24)
    chance = (12 * 9 + 12 * 15) / 24**2
    assert found.kappa == pytest.approx((21 / 24 - chance) / (1 - chance))


def test_the_answers_to_findings_come_to_one_for_the_whole() -> None:
    assert whole([ACCEPT, ACCEPT], None) == ACCEPT
    assert whole([REJECT, REJECT], None) == REJECT
    assert whole([ACCEPT, REJECT], None) == MODIFY
    assert whole([ACCEPT, REJECT], REJECT) == REJECT
    assert whole([], ACCEPT) == ACCEPT


def test_groups_come_in_order() -> None:
    readings = [reading(1, version="2.0"), reading(2), reading(3, version="2.0")]
    assert [(name, len(of)) for name, of in grouped(readings, lambda one: one.version).items()] == [
        ("1.0", 1),
        ("2.0", 2),
    ]
