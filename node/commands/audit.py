"""`condyle audit`: who did what, and whether the files that say so were changed."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from rich.table import Table

from dicom_sr.words import counted
from node.audit.chain import Chain, verify
from node.audit.listing import Filter, as_json, in_words, lines
from node.audit.trail import head_of
from node.commands.exit_codes import NOT_RIGHT, OK
from node.commands.open_database import opened
from node.commands.terminal import console, print_whole


def list_lines(
    config: Path,
    *,
    what: str = "",
    who: str = "",
    study: str = "",
    since: datetime | None = None,
    limit: int = 50,
    json_output: bool = False,
) -> int:
    """Print the latest lines.

    Parameters
    ----------
    config
        The configuration file.
    what, who, study
        Only lines of this kind, by this account or sender, about this study.
    since
        Only lines since then.
    limit
        How many at most.
    json_output
        Print a JSON list.
    """
    _, database = opened(config)
    found = lines(database, Filter(what, who, study, since), limit)
    out = console()
    if json_output:
        out.print_json(json.dumps([as_json(row) for row in found]))
        return OK
    table = Table(box=None, pad_edge=False)
    for heading in ("At", "What", "Who"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Study", overflow="fold")
    table.add_column("More", overflow="fold", min_width=20)
    for row in found:
        times = f" ({row.times:,} times)" if row.times > 1 else ""
        moment = f"{row.at.astimezone():%Y-%m-%d %H:%M:%S}"
        table.add_row(moment, f"{row.what}{times}", row.who, row.study_instance_uid or "", in_words(row.detail))
    print_whole(out, table)
    return OK


def verify_files(config: Path, *, contains: str | None = None, json_output: bool = False) -> int:
    """Say whether the files of the audit trail are as they were written.

    Parameters
    ----------
    config
        The configuration file.
    contains
        A digest that was noted before: one of the lines must have it.
    json_output
        Print a JSON object.
    """
    configuration, database = opened(config)
    found = verify(Chain(configuration.node.data), head=head_of(database), contains=contains)
    out, problems = console(), list(found.problems)
    if found.more_problems:
        problems.append(f"and {found.more_problems:,} more")
    if contains is not None and not found.holds:
        problems.append(f"no line has the digest {contains}: what was written up to it is not there, or was replaced")
    if json_output:
        told = {
            "lines": found.count,
            "first": found.first.number if found.first else None,
            "last": found.last.number if found.last else None,
            "digest": found.last.digest if found.last else None,
            "problems": problems,
        }
        out.print_json(json.dumps(told))
        return NOT_RIGHT if problems else OK
    for problem in problems:
        out.print(problem, style="red", markup=False, highlight=False)
    if problems:
        return NOT_RIGHT
    if found.first is None or found.last is None:
        out.print("There is no line yet.")
        return OK
    out.print(
        f"{counted(found.count, 'line')} from {found.first.at.astimezone():%Y-%m-%d %H:%M:%S} to "
        f"{found.last.at.astimezone():%Y-%m-%d %H:%M:%S} are as they were written.",
        highlight=False,
    )
    out.print(f"The last one has the digest {found.last.digest}", highlight=False, soft_wrap=True)
    out.print("Note it elsewhere: condyle audit verify --contains DIGEST says later whether it is still there.")
    return OK
