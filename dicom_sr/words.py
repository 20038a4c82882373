"""Words for the sentences that people read."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """A number of things in words: 1 job, 2 jobs, 2 studies, 2 series."""
    if number == 1 or thing.endswith("s"):
        return f"{number} {thing}"
    if thing.endswith("y") and thing[-2:-1] not in "aeou":  # days, but studies
        return f"{number} {thing[:-1]}ies"
    return f"{number} {thing}s"
