"""Passwords whose comparison costs next to nothing, and a count of comparisons."""

from __future__ import annotations

from typing import Any

from argon2 import PasswordHasher

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "four words of mine"


class CountingHasher(PasswordHasher):
    """Counts how often a password was compared with a hash."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.comparisons = 0
        self.costs: list[str] = []  # the parameters of the hashes that were compared with

    def verify(self, hash: Any, password: Any) -> Any:
        """Compare."""
        self.comparisons += 1
        self.costs.append(str(hash).split("$")[3])
        return super().verify(hash, password)
