"""Which passwords are taken, and that comparing costs the same for everybody and holds up nobody."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from argon2 import PasswordHasher

from node.access.passwords import AT_ONCE, WAITING, Passwords, TooBusy, password_problem
from tests.node.access.quick import PASSWORD, QUICK, CountingHasher


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("elevensigns", "has 11 characters; should have at least 12"),
        ("x" * 257, "has 257 characters; should have at most 256"),
        ("my-Anna-2026-pw", "has the user's name in it"),
        ("aaaaaaaaaaaaaaa", "is one that is tried first"),
        ("123456789012", "is one that is tried first"),
        ("Password1234!", "is one that is tried first"),
        ("Changeme2026!", "is one that is tried first"),
        ("PACSadmin2026", "is one that is tried first"),
    ],
)
def test_a_password_that_is_soon_found_is_not_taken_and_not_repeated(password: str, told: str) -> None:
    problem = password_problem(password, "anna")
    assert problem is not None
    assert problem.startswith(told)
    assert password not in problem


@pytest.mark.parametrize("password", [PASSWORD, "Zwölf Boxkämpfer jagen", "k9#vQ2!xLm7z"])
def test_a_long_password_is_taken_whatever_it_consists_of(password: str) -> None:
    assert password_problem(password, "anna") is None


def test_a_hash_is_argon2id_and_holds_for_its_password_alone() -> None:
    passwords = Passwords()
    stored = passwords.hashed(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.compare_now(stored, PASSWORD).is_right
    assert not passwords.compare_now(stored, f"{PASSWORD} ").is_right
    assert not passwords.compare_now("no hash", PASSWORD).is_right


def test_a_password_is_the_same_from_every_keyboard() -> None:
    passwords = Passwords(QUICK)
    stored = passwords.hashed("caf\u00e9 caf\u00e9 caf\u00e9")  # one character, or an e and an accent
    assert passwords.compare_now(stored, "cafe\u0301 cafe\u0301 cafe\u0301").is_right


def test_a_hash_with_other_parameters_is_renewed_at_the_next_sign_in() -> None:
    stored = Passwords(QUICK).hashed(PASSWORD)
    today = Passwords(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    comparison = today.compare_now(stored, PASSWORD)
    assert comparison.is_right
    assert "m=16,t=2,p=1" in comparison.renewed
    assert today.compare_now(comparison.renewed, PASSWORD).renewed == ""
    assert today.compare_now(stored, "another one").renewed == ""


def test_a_name_that_nobody_has_costs_one_comparison_with_the_same_parameters() -> None:
    hasher = CountingHasher()
    passwords = Passwords(hasher)
    stored = passwords.hashed(PASSWORD)
    assert not passwords.compare_now(stored, "wrong").is_right
    assert not passwords.compare_now(None, "wrong").is_right
    assert (hasher.comparisons, len(set(hasher.costs))) == (2, 1)


def test_few_are_compared_at_once_the_loop_goes_on_and_too_many_are_told_to_come_again() -> None:
    class Slow(CountingHasher):
        now, most, lock, go_on = 0, 0, threading.Lock(), threading.Event()

        def verify(self, hash: Any, password: Any) -> Any:
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            self.go_on.wait(20)
            with self.lock:
                self.now -= 1
            return super().verify(hash, password)

    hasher = Slow()
    passwords = Passwords(hasher)

    async def many() -> None:
        tasks = [asyncio.create_task(passwords.compare(None, "x")) for _ in range(AT_ONCE + WAITING)]
        await asyncio.sleep(0)  # this loop goes on, although none has ended
        with pytest.raises(TooBusy):
            await passwords.compare(None, "x")
        hasher.go_on.set()
        await asyncio.gather(*tasks)
        assert not (await passwords.compare(None, "x")).is_right  # there is room again

    asyncio.run(many())
    assert hasher.most <= AT_ONCE
