"""What is told while the database is away: without it no alert can be written down, and none is more urgent."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from node.alerts.channels import open_way
from node.alerts.messages import Message, Notice, Origin
from node.alerts.telling import pause
from node.config import Configuration
from node.config.alerts import Channel, NodeProblem
from node.database.alerts import Event
from node.errors import NodeError

log = logging.getLogger(__name__)


@dataclass
class _Told:
    """What one channel knows, and what it is to be told."""

    rule: str
    channel: Channel
    knows: bool = False  # that the database is away
    owed: tuple[str, Notice] | None = None  # id of the message, and what is in it
    failures: int = 0
    not_before: datetime | None = None


class WithoutDatabase:
    """Tells the channels of rules about the node that its database is away, once, and once that it is back.

    All of it lies in this process: a node that is started anew while the database is away does not start.

    Parameters
    ----------
    configuration
        The rules and the channels.
    origin
        Who tells.
    clock
        The time, with its zone.
    """

    def __init__(self, configuration: Configuration, origin: Origin, clock: Callable[[], datetime]) -> None:
        settings = configuration.alerts
        self._rules = {name: of for name, of in settings.rules_in_force.items() if isinstance(of, NodeProblem)}
        self._channels = {
            channel: _Told(name, settings.channels[channel])
            for name, rule in self._rules.items()
            for channel in settings.channels_of(rule)
        }
        self._origin, self._clock = origin, clock
        self._since: datetime | None = None

    def is_away(self, why: str) -> None:
        """The database does not answer: tell those who do not know it yet, once it has lasted long enough."""
        now = self._clock()
        self._since = self._since or now
        for told in self._channels.values():
            if not told.knows and told.owed is None and now - self._since >= self._rules[told.rule].after:
                told.owed = (uuid.uuid4().hex, self._away(told.rule, why, self._since))
        self._send(now, knows=True)

    def is_back(self) -> None:
        """The database answers: tell those who were told that it did not."""
        now = self._clock()
        if self._since is not None:
            for told in self._channels.values():
                told.owed = (uuid.uuid4().hex, self._back(told.rule, self._since, now)) if told.knows else None
                told.failures, told.not_before = 0, None
            self._since = None
        self._send(now, knows=False)

    def _away(self, rule: str, why: str, since: datetime) -> Notice:
        return self._notice(
            rule,
            Event.BEGUN,
            f"The node's database does not answer ({why}): nothing is decided, run or sent.",
            "Start it, or see what its own log says.",
            since,
        )

    def _back(self, rule: str, since: datetime, now: datetime) -> Notice:
        return self._notice(rule, Event.OVER, "The node's database answers, and work goes on.", "", since, now)

    def _notice(
        self, rule: str, event: Event, sentence: str, advice: str, since: datetime, ended: datetime | None = None
    ) -> Notice:
        return Notice(
            rule=rule,
            event=event,
            severity=self._rules[rule].severity,
            title="the database is away",
            sentence=sentence,
            advice=advice,
            since=since.isoformat(timespec="seconds"),
            ended=None if ended is None else ended.isoformat(timespec="seconds"),
            path="/",
            holds_back=False,
        )

    def _send(self, now: datetime, *, knows: bool) -> None:
        """Send what is owed, unless a try failed a moment ago; who got it knows, or knows that it is over."""
        for name, told in self._channels.items():
            if told.owed is None or (told.not_before is not None and now < told.not_before):
                continue
            message = Message(told.owed[0], now, (told.owed[1],), self._origin)
            try:
                way = open_way(name, told.channel)
                try:
                    way.send(message)
                finally:
                    way.close()
            except (NodeError, OSError) as error:
                told.failures += 1
                told.not_before = now + pause(told.failures)
                log.warning("alert not told, tried again", extra={"channel": name, "reason": str(error)})
            else:
                told.owed, told.knows, told.failures, told.not_before = None, knows, 0, None
