"""What the processes that meet foreign input write to standard output and error, as records of the node's log.

Whoever takes such a process over is not to read the log, to empty it, to fill it, or to write to it in the name of the
node: the process gets a pipe, and the node logs what comes out of it, marked and bounded.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import IO

LONGEST_LINE = 16 * 2**10  # bytes
BYTES_A_SECOND = 2**20  # that are taken out of the pipe: then the process has to wait
LINES_A_MINUTE = 600
MINUTE_S = 60.0
_RESERVED = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "event", "exception", "level", "logger", "timestamp", "by"}
)


def relay(descriptor: int, logger: logging.Logger, by: str) -> threading.Thread:
    """Log, in a thread of its own, what comes out of a pipe until nobody has its other end any more.

    Parameters
    ----------
    descriptor
        Of the pipe's reading end; closed at the end.
    logger
        Where to.
    by
        Whose output it is; each record says so.
    """
    thread = threading.Thread(target=_relay, args=(descriptor, logger, by), name=f"output of {by}", daemon=True)
    thread.start()
    return thread


def _relay(descriptor: int, logger: logging.Logger, by: str) -> None:
    began, taken, left_out = time.monotonic(), 0, 0
    with os.fdopen(descriptor, "rb") as stream:
        for line in _lines(stream):
            if time.monotonic() - began > MINUTE_S:
                _tell_left_out(logger, by, left_out)
                began, taken, left_out = time.monotonic(), 0, 0
            if taken < LINES_A_MINUTE:
                taken += 1
                _log(line, logger, by)
            else:
                left_out += 1
    _tell_left_out(logger, by, left_out)


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """The lines that are not empty; of a long one the beginning."""
    begins = True
    while part := stream.readline(LONGEST_LINE):
        time.sleep(len(part) / BYTES_A_SECOND)
        if begins and (line := part.decode("utf-8", "backslashreplace").rstrip()):
            yield line
        begins = part.endswith(b"\n")


def _tell_left_out(logger: logging.Logger, by: str, lines: int) -> None:
    if lines:
        logger.warning("output left out", extra={"by": by, "lines": lines})


def _log(line: str, logger: logging.Logger, by: str) -> None:
    """Log one line: a record of its own log, as JSON, with its facts; anything else as it is."""
    try:
        facts = json.loads(line)
        event = facts.pop("event")
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        logger.warning("process says", extra={"by": by, "line": line})
        return
    level = logging.getLevelNamesMapping().get(str(facts.get("level")).upper(), logging.WARNING)
    told = {
        key: value if isinstance(value, int | float) else str(value)
        for key, value in facts.items()
        if key.isidentifier() and key not in _RESERVED
    }
    said = f"{event}\n{facts['exception']}" if "exception" in facts else str(event)
    logger.log(level, said, extra=told | {"by": by})
