"""How the command line takes times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from node.commands.since import since


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90m", timedelta(minutes=90)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_a_span_is_counted_from_now(text: str, span: timedelta) -> None:
    before = datetime.now(UTC)
    assert before - span <= since(text) <= datetime.now(UTC) - span


def test_a_day_begins_at_midnight_here() -> None:
    assert since("2026-11-20").astimezone().replace(tzinfo=None) == datetime(2026, 11, 20)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "7", "7y", "2026-13-01", "-3d", "9999999w", "999999d", "999999-01-01", "0001-01-01", "\u0663d"],
)
def test_anything_else_is_answered_with_what_would_be_right(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="should be how long ago, such as 90m, 12h, 7d or 2w"):
        since(text)


@pytest.mark.parametrize("text", ["999999d", "1" + "0" * 30 + "d"])
def test_a_span_that_is_too_long_is_told_so(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"--since: '{text}': is longer ago than any year; should be how long"):
        since(text)


def test_a_day_that_is_still_to_come_is_a_mistake_in_the_year() -> None:
    with pytest.raises(typer.BadParameter, match="'2999-01-01': is in the future"):
        since("2999-01-01")
