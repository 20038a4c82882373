"""`condyle check`."""

from __future__ import annotations

from pathlib import Path

from rich.progress import track
from rich.table import Table
from rich.text import Text

from node import checks
from node.__main__ import NOT_RIGHT, OK
from node.commands.terminal import console
from node.config import read

STYLES = {"good": "green", "doubtful": "yellow", "bad": "red"}


def check(config: Path, *, online: bool) -> int:
    """Look at everything, print what was found."""
    configuration = read(config)
    out, complaints = console(), console(error=True)
    verdicts = [verdict for look in checks.OFFLINE for verdict in look(configuration)]
    if online:
        from node import contact

        asked = list(contact.asked(configuration))
        verdicts += [
            contact.ask(name, whom, configuration.node.ae_title)
            for name, whom in track(asked, "Asking", console=complaints, transient=True)
        ]
    table = Table(box=None, show_header=False, pad_edge=False)
    for verdict in verdicts:
        sentence = verdict.sentence.removeprefix(f"{verdict.key}: ")
        table.add_row(Text(verdict.state, style=STYLES[verdict.state]), Text(verdict.key), Text(sentence))
    out.print(table)
    bad = sum(verdict.state == "bad" for verdict in verdicts)
    doubtful = sum(verdict.state == "doubtful" for verdict in verdicts)
    if bad:
        out.print(f"\n{config}: {bad} thing{'s' if bad > 1 else ''} to mend")
        return NOT_RIGHT
    more = f", {doubtful} to look at" if doubtful else ""
    out.print(f"\n{config}: fit to run{more}")
    return OK
