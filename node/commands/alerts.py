"""`condyle alerts`: what is wrong and was, a test of the channels, and a rule of which nobody is told for a while."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.table import Table
from rich.text import Text

from node.alerts import operations
from node.alerts.operations import AlertList, NoSuchName
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.operator import operator
from node.commands.terminal import console, print_whole
from node.errors import NodeError

STYLES = {"critical": "red", "warning": "yellow", "info": ""}


def list_alerts(config: Path, *, as_json: bool, limit: int) -> int:
    """Print what is wrong now and what was, the rules and the channels."""
    configuration, database = opened(config)
    found = operations.list_alerts(configuration, database, datetime.now(UTC), limit)
    if as_json:
        console().print_json(json.dumps(found.as_json()))
    else:
        _print(found)
    return OK


def _print(found: AlertList) -> None:
    out = console()
    if not found.channels:
        out.print("nobody is told of anything: alerts.channels of the configuration is empty")
    elif not found.firing:
        out.print("nothing is wrong that a rule asks for")
    for alert in found.firing:
        out.print(Text.assemble((alert.severity, STYLES[alert.severity]), f"  {alert.title}  (rule {alert.rule})"))
        told = _clock(alert.told) if alert.told is not None else "nobody yet"
        for line in (alert.sentence, f"since {_clock(alert.since)}, told {told}", alert.advice):
            if line:
                out.print(f"  {line}", markup=False)
    if found.past:
        out.print()
        table = _table("Over", "Since", "Until", "Rule", "Times")
        for alert in found.past:
            table.add_row(alert.title, _clock(alert.since), _clock(alert.ended), alert.rule, str(alert.times))
        print_whole(out, table)
    if found.rules:
        out.print()
        rules = _table("Rule", "Of", "Severity", "Tells", "Silenced until")
        for rule in found.rules:
            until = f"{_clock(rule.silenced_until)} by {rule.silenced_by}" if rule.silenced_until is not None else ""
            rules.add_row(rule.name, rule.kind.replace("_", " "), rule.severity, ", ".join(rule.channels), until)
        print_whole(out, rules)
    if found.channels:
        out.print()
        channels = _table("Channel", "Kind", "Where", "Last message", "Answer")
        for channel in found.channels:
            last = f"{channel.state} {_clock(channel.last)}" if channel.state else "none yet"
            channels.add_row(channel.name, channel.kind, channel.place, last, channel.answer)
        print_whole(out, channels)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _clock(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%d %b %Y %H:%M") if moment is not None else ""


def test(channel: str | None, config: Path) -> int:
    """Send a test message to a channel, or to each, and print what its server answers."""
    configuration, database = opened(config)
    names = list(configuration.alerts.channels) if channel is None else [channel]
    if not names:
        console(error=True).print("alerts.channels of the configuration is empty: there is nobody to tell")
        return USAGE
    code = OK
    for name in names:
        try:
            answer = operations.test_channel(configuration, database, name, operator(), datetime.now(UTC))
        except NoSuchName as error:
            console(error=True).print(str(error), markup=False)
            return USAGE
        except (NodeError, OSError) as error:  # OSError: a certificate that cannot be used
            console(error=True).print(f"{name}: not sent: {str(error).removeprefix(f'{name}: ')}", markup=False)
            code = NOT_RIGHT
        else:
            console().print(f"{name}: sent: {answer}", markup=False)
    return code


def silence(rule: str, long: timedelta | None, config: Path) -> int:
    """Have nobody told of what a rule finds for so long; None: from now on everybody again."""
    configuration, database = opened(config)
    try:
        until = operations.silence(configuration, database, rule, long, operator(), datetime.now(UTC))
    except NoSuchName as error:
        console(error=True).print(str(error), markup=False)
        return USAGE
    if until is None:
        console().print(f"rule {rule}: everybody is told again", markup=False)
    else:
        console().print(
            f"rule {rule}: nobody is told until {_clock(until)}; what lasts then is told then", markup=False
        )
    return OK
