"""What looking at one part of a configuration has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

_WORSE = ("good", "doubtful", "bad")


@dataclass(frozen=True)
class CheckResult:
    """What one look found; a bad one keeps the node from its work, a doubtful one may be meant so."""

    key: str  # where in the configuration, as in receive.dimse.port
    state: Literal["good", "doubtful", "bad"]
    sentence: str  # the value, what is wrong with it, and what would be right


def one_for_each_key(results: Iterable[CheckResult]) -> list[CheckResult]:
    """One verdict on each key: the worst that was found, with the sentences of all that found it."""
    verdicts: dict[str, CheckResult] = {}
    for one in results:
        known = verdicts.setdefault(one.key, one)
        if _WORSE.index(one.state) > _WORSE.index(known.state):
            verdicts[one.key] = one
        elif one.state == known.state and one.sentence not in known.sentence:
            verdicts[one.key] = replace(known, sentence=f"{known.sentence}; {one.sentence}")
    return list(verdicts.values())
