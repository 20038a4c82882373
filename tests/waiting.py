"""How a test waits for what another thread or process does: it asks, and never sleeps for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(ask: Callable[[], T], what: str = "", seconds: float = 120.0) -> T:
    """Ask until the answer is true, and return it; fail when it is not within `seconds`.

    Parameters
    ----------
    ask
        The question; its first truthy answer ends the wait.
    what
        What is waited for, for the message.
    seconds
        How long at most; far more than it takes, so that a busy machine fails no test.
    """
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or ask}"
        time.sleep(0.02)
    return answer
