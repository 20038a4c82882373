"""What looking at one part of a configuration has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CheckResult:
    """What one look found; a bad one keeps the node from its work, a doubtful one may be meant so."""

    key: str  # where in the configuration, as in receive.dimse.port
    state: Literal["good", "doubtful", "bad"]
    sentence: str  # the value, what is wrong with it, and what would be right
