"""`condyle pause`, `condyle resume` and `condyle pauses`: routes and destinations that wait for an operator."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table
from rich.text import Text

from node.actions.pauses import AlreadySo, PauseActions
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.operator import operator
from node.commands.terminal import console, print_whole
from node.database.pauses import PauseKind
from node.listings.pauses import PauseListing
from node.route.by_hand import UnknownName


def pause(kind: str, name: str, why: str, config: Path) -> int:
    """Pause a route or a destination.

    Parameters
    ----------
    kind
        A `PauseKind`.
    name
        In the configuration.
    why
        For others who see it paused.
    config
        The configuration file.
    """
    complaints = console(error=True)
    if not why:
        complaints.print("--reason: is empty; say why, for others who see it paused")
        return USAGE
    acts = PauseActions(*opened(config))
    try:
        acts.pause(PauseKind(kind), name, why, operator())
    except UnknownName as error:
        complaints.print(str(error), markup=False)
        return USAGE
    except AlreadySo as error:
        complaints.print(str(error), markup=False)
        return NOT_RIGHT
    console().print(f"{kind} {name} is paused; condyle resume {kind} {name} ends that", markup=False)
    return OK


def resume(kind: str, name: str, config: Path) -> int:
    """End the pause of a route or a destination."""
    try:
        PauseActions(*opened(config)).resume(PauseKind(kind), name, operator())
    except AlreadySo as error:
        console(error=True).print(str(error), markup=False)
        return NOT_RIGHT
    console().print(f"{kind} {name} goes on", markup=False)
    return OK


def list_pauses(config: Path, *, as_json: bool) -> int:
    """Print all that is paused."""
    found = PauseActions(*opened(config)).every()
    if as_json:
        facts = [PauseListing.model_validate(one).model_dump(mode="json") for one in found]
        console().print_json(json.dumps({"pauses": facts}))
        return OK
    if not found:
        console().print("nothing is paused")
        return OK
    table = Table(box=None, pad_edge=False)
    for heading in ("What", "Name", "Since", "Who"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Why", min_width=20)
    for one in found:
        table.add_row(one.kind, one.name, one.since.astimezone().strftime("%d %b %H:%M"), Text(one.who), Text(one.why))
    print_whole(console(), table)
    return OK
