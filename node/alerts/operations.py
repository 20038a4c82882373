"""What an operator does with alerts: looks at them, tries a channel, has nobody told of a rule for a while."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from dicom_sr.words import did_you_mean
from node.alerts.channels import open_way, place_of
from node.alerts.messages import Message, Origin, trial_notice
from node.config import Configuration
from node.database import alert_notices, alerts, audit
from node.database.alerts import is_silenced
from node.database.connection import Database
from node.database.tables import ALERT_CHANNEL_TESTED, ALERT_SILENCED, AlertRow
from node.errors import NodeError

SHOWN = 50  # alerts that are over


class NoSuchName(NodeError):
    """No rule, or no channel, is called so; the message names those that there are."""


@dataclass(frozen=True)
class _View:
    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class AlertView(_View):
    """One alert, as it is shown."""

    rule: str
    subject: str
    node: str  # that it concerns; empty: all on the database
    severity: str
    state: str  # pending, firing or over
    since: datetime
    told: datetime | None  # when last; None: nobody was
    ended: datetime | None
    times: int  # how often it has begun
    title: str
    sentence: str
    advice: str
    link: str  # path on the status page


@dataclass(frozen=True)
class RuleView(_View):
    """One rule of the configuration."""

    name: str
    kind: str
    severity: str
    channels: tuple[str, ...]
    silenced_until: datetime | None
    silenced_by: str


@dataclass(frozen=True)
class ChannelView(_View):
    """One channel of the configuration, and what it was told last."""

    name: str
    kind: str
    place: str
    last: datetime | None  # when it was told last, or is to be
    state: str  # of that: waiting, sent or given up; empty: it was told nothing yet
    answer: str


@dataclass(frozen=True)
class AlertList:
    """All about alerts."""

    firing: Sequence[AlertView]  # the worst first
    past: Sequence[AlertView]  # the latest first
    rules: Sequence[RuleView]
    channels: Sequence[ChannelView]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        parts: dict[str, Sequence[_View]] = {
            "firing": self.firing,
            "past": self.past,
            "rules": self.rules,
            "channels": self.channels,
        }
        return {name: [one.as_json() for one in part] for name, part in parts.items()}


def list_alerts(configuration: Configuration, database: Database, now: datetime, limit: int = SHOWN) -> AlertList:
    """What is wrong now and what was, with the rules and the channels.

    Parameters
    ----------
    limit
        How many that are over.
    """
    settings = configuration.alerts
    with Session(database) as session:
        rows = alerts.rule_rows(session)
        rules = [
            RuleView(
                name,
                rule.kind,
                rule.severity,
                settings.channels_of(rule),
                row.silenced_until if (row := rows.get(name)) is not None and is_silenced(row, now) else None,
                row.silenced_by if row is not None and is_silenced(row, now) else "",
            )
            for name, rule in settings.rules_in_force.items()
        ]
        channels = [
            ChannelView(
                name,
                channel.kind,
                place_of(channel),
                (word.sent or word.not_before)
                if (word := alert_notices.last_word(session, name)) is not None
                else None,
                word.state if word is not None else "",
                word.answer if word is not None else "",
            )
            for name, channel in settings.channels.items()
        ]
        return AlertList(
            [_view(row) for row in alerts.firing(session)],
            [_view(row) for row in alerts.past(session, limit)],
            rules,
            channels,
        )


def test_channel(configuration: Configuration, database: Database, name: str, who: str, now: datetime) -> str:
    """Send a channel a test message, and return what its server answered; the audit trail has a line either way.

    Parameters
    ----------
    name
        Of the channel.
    who
        The account or token that asks for it.

    Raises
    ------
    NoSuchName
        If there is no such channel.
    PeerUnavailable, PeerRefused
        If it could not be sent.
    """
    channel = configuration.alerts.channels.get(name)
    if channel is None:
        raise _unknown(name, "channel", list(configuration.alerts.channels))
    origin = Origin(configuration.node.ae_title, configuration.alerts.page_url)
    message = Message(uuid.uuid4().hex, now, (trial_notice(name, who, now),), origin)
    answer = ""
    try:
        with closing(open_way(name, channel)) as way:
            answer = way.send(message)
        return answer
    except NodeError as error:
        answer = str(error)
        raise
    finally:
        with Session(database) as session, session.begin():
            audit.note(session, ALERT_CHANNEL_TESTED, who, now=now, channel=name, answer=answer)


def silence(
    configuration: Configuration, database: Database, rule: str, long: timedelta | None, who: str, now: datetime
) -> datetime | None:
    """Have nobody told of what a rule finds for so long; None: from now on everybody again. Returns until when.

    What lasts when the time is over is told then.

    Raises
    ------
    NoSuchName
        If there is no such rule.
    """
    rules = configuration.alerts.rules_in_force
    if rule not in rules:
        raise _unknown(rule, "rule", list(rules))
    until = None if long is None else now + long
    with Session(database) as session, session.begin():
        alerts.silence(session, rule, until, who, now)
        shown = until.isoformat(timespec="seconds") if until is not None else None
        audit.note(session, ALERT_SILENCED, who, now=now, rule=rule, until=shown)
    return until


def _unknown(name: str, what: str, there: list[str]) -> NoSuchName:
    known = f"there are: {', '.join(there) or 'none'}"
    return NoSuchName(f"{name!r}: no such {what}; {known}{did_you_mean(name, there)}")


def _view(row: AlertRow) -> AlertView:
    return AlertView(
        row.rule,
        row.subject,
        row.node,
        row.severity,
        row.state,
        row.since,
        row.told,
        row.ended,
        row.times,
        row.title,
        row.sentence,
        row.advice,
        row.link,
    )


def _plain(value: object) -> object:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
