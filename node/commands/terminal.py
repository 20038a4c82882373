"""Output of the commands: results on standard output, problems on standard error."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_WIDTH = 160  # columns of a table in a file or a pipe


def console(*, error: bool = False) -> Console:
    """A console as wide as the terminal, or `PIPE_WIDTH` wide if there is none."""
    stream = sys.stderr if error else sys.stdout
    return Console(stderr=error, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)
