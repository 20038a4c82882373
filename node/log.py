"""What the node logs while it runs: one record per change of state, as JSON lines or for people, on standard error.

Modules log through `logging.getLogger(__name__)` with the facts in `extra`, or through `structlog.get_logger()`: both
come out alike. What holds for everything that a thread does for a while, such as the job, is bound with `bound`. What
a peer or a file put into a fact is escaped here, whoever logs it.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

import structlog

from dicom_sr.words import escaped, escaped_json

Format = Literal["json", "console"]
LEVELS = ("debug", "info", "warning", "error")
FORMAT_VARIABLE, LEVEL_VARIABLE = "CONDYLE_LOG_FORMAT", "CONDYLE_LOG_LEVEL"  # how child processes learn of it

# Libraries that tell of their own work at length, or quote values of data elements when they complain: what matters of
# it comes to us as an exception or a status.
QUIET_LIBRARIES = {
    "pydicom": logging.CRITICAL,
    "pynetdicom": logging.CRITICAL,
    "highdicom": logging.ERROR,
    "py.warnings": logging.CRITICAL,
    "dbos": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "alembic": logging.WARNING,
    "uvicorn": logging.WARNING,
    "uvicorn.access": logging.CRITICAL,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "matplotlib": logging.WARNING,
    "PIL": logging.WARNING,
}


def configure(log_format: Format | None = None, level: str | None = None, stream: TextIO | None = None) -> None:
    """Set up logging of this process, and by the environment that of the processes it starts.

    Parameters
    ----------
    log_format
        JSON lines for a collector, or lines for people; by default what the environment says, else by whether
        `stream` is a terminal.
    level
        Least severity of our own records; by default what the environment says, else INFO.
    stream
        Where to; standard error by default.
    """
    stream = stream or sys.stderr
    chosen = log_format or os.environ.get(FORMAT_VARIABLE) or ("console" if stream.isatty() else "json")
    level = (level or os.environ.get(LEVEL_VARIABLE) or "INFO").upper()
    os.environ[FORMAT_VARIABLE], os.environ[LEVEL_VARIABLE] = chosen, level

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks stay plain: the richer kind prints local variables, and those hold data sets.
    last: list[structlog.typing.Processor]
    if chosen == "json":
        last = [structlog.processors.format_exc_info, _json_line]
    else:
        last = [
            _escape_facts,
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=_escaped_traceback, pad_event_to=0
            ),
        ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name, least in QUIET_LIBRARIES.items():
        library = logging.getLogger(name)
        library.setLevel(max(least, root.level))
        library.handlers, library.propagate = [], True  # some bring a handler of their own


def _json_line(_: object, __: str, facts: structlog.typing.EventDict) -> str:
    return escaped_json(json.dumps(facts, default=repr))


def _escape_facts(_: object, __: str, facts: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The facts for people: whatever a peer put into them, no line of the log begins in them."""
    event = _indented(str(facts.pop("event", "")))
    return {"event": event} | {escaped(str(key)): _escaped_fact(value) for key, value in facts.items()}


def _escaped_fact(value: object) -> object:
    if isinstance(value, str | Path):
        return escaped(str(value))
    return value  # of others the renderer shows the `repr`, which has nothing to escape


def _indented(text: str) -> str:
    """Escaped, lines after the first set in: only a record begins at the margin."""
    return escaped(text, keep="\n").replace("\n", "\n  ")


def _escaped_traceback(stream: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    plain = io.StringIO()
    structlog.dev.plain_traceback(plain, exc_info)
    stream.write("  " + _indented(plain.getvalue()))


@contextmanager
def bound(**facts: str) -> Iterator[None]:
    """Everything this thread logs inside carries `facts`, such as ``job=job.id``."""
    with structlog.contextvars.bound_contextvars(**facts):
        yield
