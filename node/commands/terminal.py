"""How commands speak: tables and lines on standard output, complaints on standard error."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_WIDTH = 160  # columns of a table that goes to a file or another program


def console(*, error: bool = False) -> Console:
    """A console as wide as the terminal, or wide enough where there is none."""
    stream = sys.stderr if error else sys.stdout
    return Console(stderr=error, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)
