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
    moment = _moment(text.strip())
    if moment is None:
        why = "is longer ago than any year; " if re.fullmatch(r"[0-9]+[mhdw]", text.strip(), re.ASCII) else ""
        raise typer.BadParameter(f"--since: {text!r}: {why}should be {SINCE_HELP[0].lower()}{SINCE_HELP[1:-1]}")
    if moment > datetime.now(UTC):
        raise typer.BadParameter(f"--since: {text!r}: is in the future; should be a day that has begun")
    return moment


def _moment(text: str) -> datetime | None:
    try:
        if span := re.fullmatch(r"([0-9]{1,6})([mhdw])", text):
            return datetime.now(UTC) - timedelta(**{UNITS[span[2]]: int(span[1])})
        return datetime.strptime(text, "%Y-%m-%d").astimezone().astimezone(UTC)
    except (ValueError, OverflowError):
        return None
