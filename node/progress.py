"""How long work says that it goes on: whoever waits for it looks at the time since the last thing that was done."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

_tell: ContextVar[Callable[[], None] | None] = ContextVar("tell", default=None)


def goes_on() -> None:
    """One of many things is done: a file, an answer, a piece of a large one. Does nothing where nobody waits for it.

    A thread that helps with the work does it in a copy of the context of the one that it helps.
    """
    if (tell := _tell.get()) is not None:
        tell()


def tell_by(tell: Callable[[], None]) -> None:
    """Have `goes_on` call `tell` in this thread."""
    _tell.set(tell)
