"""The loops behind alerts: one looks at what the rules ask for, and one for each channel tells what is due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, cast

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.alerts import conditions
from node.alerts.machine import Parts, certificates_ending, disk_low, node_problems
from node.alerts.messages import Origin, notice_of
from node.alerts.results import results_made
from node.alerts.telling import Telling
from node.alerts.timing import not_before
from node.alerts.without_database import WithoutDatabase
from node.background import Loop, is_away
from node.config import Configuration
from node.config.alert_checks import same_server
from node.config.alerts import (
    CertificateEnds,
    DestinationDown,
    DiskLow,
    JobsFailed,
    Lasting,
    NodeProblem,
    NoImages,
    QueueLong,
    ResultMade,
    Rule,
    SendersRefused,
    SignInsRefused,
    Told,
    WorkersDied,
)
from node.database import alert_notices, alerts
from node.database.alerts import Change, Observation
from node.database.connection import Database
from node.database.job_states import node_name
from node.progress import goes_on

log = logging.getLogger(__name__)

CLAIM_S = 60.0  # until another node looks at the rules of one that says nothing; more than a round takes
CERTIFICATES_EVERY = timedelta(hours=1)  # files are read for it
STOP_S = 5.0  # at the end of the node, for a message that is being sent


class _Look(Protocol):
    """What a rule of some kind sees in the records."""

    def __call__(
        self, session: Session, rule: Lasting, configuration: Configuration, now: datetime
    ) -> Iterable[Observation]:
        """All that holds now."""


IN_RECORDS = cast(
    dict[type[Lasting], _Look],
    {
        DestinationDown: conditions.destinations_down,
        JobsFailed: conditions.jobs_failed,
        QueueLong: conditions.queue_long,
        NoImages: conditions.no_images,
        WorkersDied: conditions.workers_died,
        SignInsRefused: conditions.sign_ins_refused,
        SendersRefused: conditions.senders_refused,
    },
)


class Alerts:
    """Looks, writes down what began and ended, and tells the channels; several nodes on one database tell once.

    Parameters
    ----------
    configuration
        The rules and the channels, and what they are about.
    database
        The node's.
    parts
        Say of themselves whether they work.
    clock
        The time, with its zone.
    """

    def __init__(
        self, configuration: Configuration, database: Database, parts: Parts, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._parts, self._clock = database, parts, clock
        self._work_by(configuration)

    def _work_by(self, configuration: Configuration) -> None:
        self._configuration, self._settings = configuration, configuration.alerts
        self._rules = self._settings.rules_in_force
        self._node = node_name(configuration)
        self._began = False
        self._certificates: tuple[datetime, Sequence[Observation]] | None = None
        self._origin = Origin(configuration.node.ae_title, self._settings.page_url)
        self._without_database = WithoutDatabase(configuration, self._origin, self._clock)
        self.loop = Loop("alerts", self._round, every_s=self._settings.every_s)
        self.channels = {
            name: Telling(name, channel, self._database, self._origin, self._clock)
            for name, channel in self._settings.channels.items()
        }

    def start(self) -> None:
        """Begin to look and to tell, where anybody is to be told."""
        if self._settings.channels:
            self.loop.start()
            for channel in self.channels.values():
                channel.loop.start()

    def stop(self) -> None:
        """End; what could not be told yet waits for the next start."""
        loops = [self.loop, *(channel.loop for channel in self.channels.values())]
        for loop in loops:  # all at once, so that several that are busy cost no more than one
            loop.stopping.set()
        for loop in loops:
            loop.stop(STOP_S)
        for channel in self.channels.values():
            channel.close()

    def reconfigure(self, configuration: Configuration) -> None:
        """Go by other rules and channels; what was found and told stands in the database."""
        self.stop()
        self._work_by(configuration)
        self.start()

    def remark(self) -> str | None:
        """Why nobody looks, or why a channel is not told, for the page; None where all is well."""
        if not self._settings.channels:
            return None
        told = [self.loop.problem(), *(channel.loop.problem() for channel in self.channels.values())]
        try:
            with Session(self._database) as session:
                told += [
                    f"{one.channel}: cannot be told since {one.since:%Y-%m-%d %H:%M} UTC, tried again; the page Alerts "
                    "has the answer"  # which /health/ready would give to everybody
                    for one in alert_notices.unsent(session)
                ]
        except SQLAlchemyError:
            pass  # the page says that the database is away
        return "; ".join(filter(None, told)) or None

    # ---- looking
    def _round(self) -> None:
        try:
            self.look()
        except SQLAlchemyError as error:
            if is_away(error):
                self._without_database.is_away(type(error).__name__)
            raise
        self._without_database.is_back()

    def look(self) -> None:
        """See what holds now, and write down what is to be told."""
        now = self._clock()
        if not self._began:
            with Session(self._database) as session, session.begin():
                alerts.leave_rules(session, self._rules, now)
                alert_notices.give_up_all_but(session, self._settings.channels)
            self._began = True
        with Session(self._database) as session, session.begin():
            alerts.enter_rules(session, self._rules, now)  # another node, with other rules, may have left some of ours
            ours = alerts.claim(session, self._rules, self._node, CLAIM_S)
        failure: Exception | None = None
        for name, rule in self._rules.items():
            goes_on()
            try:
                self._look_at(name, rule, is_ours=name in ours)
            except SQLAlchemyError:
                raise
            except Exception as error:  # noqa: BLE001 (the others are looked at all the same; the loop says it)
                failure = failure or error
        if failure is not None:
            raise failure

    def _look_at(self, name: str, rule: Rule, *, is_ours: bool) -> None:
        if isinstance(rule, NodeProblem):  # of each node, so that nobody else's claim counts
            self._settle(name, rule, list(node_problems(rule, self._configuration, self._parts)), self._node)
        elif is_ours and isinstance(rule, ResultMade):
            self._look_at_results(name, rule)
        elif is_ours and not isinstance(rule, ResultMade):
            self._settle(name, rule, self._seen(rule), "")

    def _seen(self, rule: Lasting) -> Sequence[Observation]:
        if isinstance(rule, DiskLow):
            return list(disk_low(rule, self._configuration))
        if isinstance(rule, CertificateEnds):
            return self._certificates_ending(rule)
        with Session(self._database) as session:
            return list(IN_RECORDS[type(rule)](session, rule, self._configuration, self._clock()))

    def _certificates_ending(self, rule: CertificateEnds) -> Sequence[Observation]:
        now = self._clock()
        if self._certificates is None or not timedelta(0) <= now - self._certificates[0] < CERTIFICATES_EVERY:
            self._certificates = (now, list(certificates_ending(rule, self._configuration, now)))
        return self._certificates[1]

    def _settle(self, name: str, rule: Lasting, seen: Sequence[Observation], node: str) -> None:
        """Write down what a rule sees; where there is nothing, and nothing was, nothing is written."""
        with Session(self._database) as session:
            if not seen and not alerts.open_alerts(session, name, node):
                return
        with Session(self._database, expire_on_commit=False) as session, session.begin():
            now = self._clock()
            row = alerts.rule_rows(session).get(name) if node else alerts.locked(session, name, self._node)
            if row is None and not node:
                return  # another node has taken the rule over meanwhile
            changes = alerts.settle(session, name, rule, node, seen, now, silenced=alerts.is_silenced(row, now))
            self._have_told(session, name, rule, changes, now)
        _log(changes)

    def _look_at_results(self, name: str, rule: ResultMade) -> None:
        with Session(self._database) as session:
            row = alerts.rule_rows(session).get(name)
            if row is None:
                return
            now, looked_until = self._clock(), row.looked_until
            seen, until = results_made(session, name, rule, self._configuration, looked_until, now)
        if not seen and until == looked_until:
            return
        with Session(self._database, expire_on_commit=False) as session, session.begin():
            row = alerts.locked(session, name, self._node)
            if row is None:
                return
            changes = alerts.record(session, name, rule, seen, now, silenced=alerts.is_silenced(row, now))
            row.looked_until = until
            self._have_told(session, name, rule, changes, now)
        _log(changes)

    def _have_told(self, session: Session, name: str, rule: Told, changes: Sequence[Change], now: datetime) -> None:
        when = not_before(self._settings, name, rule.severity, now)
        for change in changes:
            content = notice_of(rule, change.alert, change.event).as_json()
            for channel in self._channels_of(rule, change.alert.subject):
                alert_notices.add(session, change.alert.id, channel, content, when, now)

    def _channels_of(self, rule: Told, subject: str) -> Sequence[str]:
        """Whom a rule tells: of a destination that is down, others too where its server is that of their channel."""
        names, every = self._settings.channels_of(rule), self._settings.channels
        watched = self._configuration.destinations.get(subject) if isinstance(rule, DestinationDown) else None
        if watched is not None and any(same_server(every[name], watched) for name in names):
            return tuple(every)
        return names


def _log(changes: Iterable[Change]) -> None:
    for change in changes:
        facts = {"rule": change.alert.rule, "subject": change.alert.subject, "event": change.event.value}
        log.info("alert", extra=facts)
