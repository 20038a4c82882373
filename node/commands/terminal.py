"""Output of the commands: results on standard output, problems on standard error."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 160  # columns of a table in a file or a pipe


def console(*, error: bool = False) -> Console:
    """A console as wide as the terminal, or `PIPE_WIDTH` wide if there is none."""
    stream = sys.stderr if error else sys.stdout
    return Console(stderr=error, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)


def whole(out: Console, table: Table) -> Table:
    """Make the columns with `no_wrap` of a table as wide as they have to be, also on a narrow terminal: ids, UIDs."""
    for column in table.columns:
        if column.no_wrap:
            column.min_width = max(out.measure(cell).maximum for cell in (column.header, *column.cells))
    needed = sum((column.min_width or 1) + 2 for column in table.columns)  # 2: the padding of a column
    if needed > out.width:
        table.width = needed
    return table


def print_whole(out: Console, table: Table) -> None:
    """Print a table, also beyond the edge of a narrow terminal; see `whole`."""
    out.print(whole(out, table), crop=False)
