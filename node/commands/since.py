"""Times of the command line: how long ago, or a day."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

SINCE_HELP = "How long ago, such as 90m, 12h, 7d or 2w, or a day such as 2026-11-20."
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since(text: str) -> datetime:
    """The time that `text` means, in UTC; a day begins at midnight here.

    Raises
    ------
    typer.BadParameter
        If it means none.
    """
    try:
        if span := re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip()):
            return datetime.now(UTC) - timedelta(**{UNITS[span[2]]: int(span[1])})
        return datetime.strptime(text.strip(), "%Y-%m-%d").astimezone().astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r}: should be {SINCE_HELP[0].lower()}{SINCE_HELP[1:-1]}") from None
