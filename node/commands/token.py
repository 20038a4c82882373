"""`condyle token`: tokens by which programs use the node over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from node.access.api_tokens import ApiTokens, holds
from node.access.identity import Scope
from node.access.users import NotDone
from node.commands.exit_codes import NOT_RIGHT, OK
from node.commands.open_database import opened
from node.commands.operator import operator
from node.commands.terminal import console, print_whole
from node.database.tables import ApiTokenRow
from node.listings import listing
from node.listings.people import TokenListing


def new(name: str, scopes: Sequence[Scope], days: int | None, config: Path) -> int:
    """Make a token and print it, alone, so that it can be sent into a file; `days` None: until it is revoked."""
    _, database = opened(config)
    complaints = console(error=True)
    try:
        token = ApiTokens(database).new(name, scopes, days, operator())
    except NotDone as error:
        complaints.print(str(error), markup=False)
        return NOT_RIGHT
    complaints.print("The token; it is not shown again:", style="yellow")
    console().print(token, markup=False, soft_wrap=True)
    return OK


def list_tokens(config: Path, *, as_json: bool) -> int:
    """Print all tokens, the latest first."""
    _, database = opened(config)
    rows, out, now = ApiTokens(database).all(), console(), datetime.now(UTC)
    if as_json:
        out.print_json(listing.as_json([TokenListing.of(row) for row in rows]))
        return OK
    table = Table(box=None, pad_edge=False)
    for heading in ("Name", "Good for", "State", "Made by", "Made", "Until", "Last used"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            ", ".join(row.scopes),
            _state(row, now),
            row.made_by,
            f"{row.created.astimezone():%d %b %Y}",
            f"{row.expires.astimezone():%d %b %Y}" if row.expires else "",
            f"{row.last_used.astimezone():%d %b %Y %H:%M}" if row.last_used else "never",
        )
    print_whole(out, table)
    return OK


def revoke(name: str, config: Path) -> int:
    """Have a token hold no more."""
    _, database = opened(config)
    try:
        ApiTokens(database).revoke(name, operator())
    except NotDone as error:
        console(error=True).print(str(error), markup=False)
        return NOT_RIGHT
    console().print(f"{name} holds no more", markup=False)
    return OK


def _state(row: ApiTokenRow, now: datetime) -> str:
    return "revoked" if row.revoked else "holds" if holds(row, now) else "expired"
