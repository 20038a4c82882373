"""Guessing gets slower and slower, and nobody else is kept out by it."""

from __future__ import annotations

import pytest

from node.access.attempts import FREE_OF_ADDRESS, FREE_OF_NAME, LONGEST_S, Attempts


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(clock)


def failing(attempts: Attempts, name: str, address: str, times: int) -> None:
    for _ in range(times):
        assert attempts.begin(name, address) == 0


def test_a_few_mistakes_cost_nothing_and_then_each_pause_is_twice_the_one_before(
    attempts: Attempts, clock: Clock
) -> None:
    failing(attempts, "anna", "10.1.1.1", FREE_OF_NAME)
    pauses = []
    for _ in range(12):
        pauses.append(attempts.begin("anna", "10.1.1.1"))
        clock.now += pauses[-1]
        failing(attempts, "anna", "10.1.1.1", 1)
    assert pauses[:4] == [2, 4, 8, 16]
    assert pauses[-1] == LONGEST_S
    guesses_a_day = 24 * 3600 / LONGEST_S
    assert guesses_a_day < 100


def test_an_attempt_within_a_pause_is_none_and_prolongs_nothing(attempts: Attempts, clock: Clock) -> None:
    failing(attempts, "anna", "10.1.1.1", FREE_OF_NAME)
    for _ in range(50):
        assert attempts.begin("anna", "10.1.1.1") == 2
    clock.now += 2
    assert attempts.begin("anna", "10.1.1.1") == 0


def test_many_at_a_time_are_no_more_than_one_after_the_other(attempts: Attempts) -> None:
    let_in = [attempts.begin("anna", "10.1.1.1") == 0 for _ in range(100)]  # none has been compared yet
    assert sum(let_in) == FREE_OF_NAME


def test_a_name_that_is_guessed_at_keeps_out_neither_others_nor_its_user_where_they_have_signed_in(
    attempts: Attempts, clock: Clock
) -> None:
    attempts.begin("anna", "10.2.2.2")
    attempts.succeeded("anna", "10.2.2.2")
    for number in range(FREE_OF_NAME):
        assert attempts.begin("anna", f"10.9.9.{number}") == 0
    assert attempts.begin("anna", "10.9.9.99") > 0  # from wherever it is tried
    assert attempts.begin("otto", "10.9.9.99") == 0
    assert attempts.begin("anna", "10.2.2.2") == 0


def test_an_address_that_tries_many_names_waits_and_others_do_not(attempts: Attempts) -> None:
    for number in range(FREE_OF_ADDRESS):
        assert attempts.begin(f"name{number}", "10.1.1.1") == 0
    assert attempts.begin("anna", "10.1.1.1") > 0
    assert attempts.begin("anna", "10.2.2.2") == 0


def test_who_signs_in_starts_anew_and_after_an_hour_all_is_forgotten(attempts: Attempts, clock: Clock) -> None:
    failing(attempts, "anna", "10.1.1.1", FREE_OF_NAME - 1)
    attempts.begin("anna", "10.1.1.1")
    attempts.succeeded("anna", "10.1.1.1")
    failing(attempts, "anna", "10.1.1.1", FREE_OF_NAME)
    assert attempts.begin("anna", "10.1.1.1") > 0
    clock.now += 3601
    failing(attempts, "anna", "10.1.1.1", FREE_OF_NAME)


def test_what_was_not_compared_is_not_counted(attempts: Attempts) -> None:
    for _ in range(3 * FREE_OF_ADDRESS):
        assert attempts.begin("anna", "10.1.1.1") == 0
        attempts.not_made("anna", "10.1.1.1")
