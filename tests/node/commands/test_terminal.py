"""How the commands print tables."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.commands.terminal import print_whole


def test_columns_that_do_not_wrap_are_whole_on_a_narrow_terminal() -> None:
    uid, printed = "2.25." + "7" * 59, io.StringIO()
    table = Table(box=None)
    for heading in ("Study", "Series"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Reason", min_width=20)
    table.add_row(uid, uid, Text("a sentence that is longer than the column", no_wrap=True, overflow="ellipsis"))
    print_whole(Console(file=printed, width=80), table)
    _, row = printed.getvalue().splitlines()
    assert row.count(uid) == 2
    assert row.rstrip().endswith("a sentence that is …")
