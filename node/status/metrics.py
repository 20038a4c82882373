"""The node's figures for Prometheus: what it has counted (`node.metrics`), and how things stand when they are asked.

How things stand is read from the records by indexes of the few rows that have not ended. Nodes that share a database
answer the same there, so that one takes the largest over them (``max by``) and not the sum.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node import metrics
from node.config import Configuration
from node.config.certificates import validities
from node.database import outbox, standing
from node.database.connection import Database
from node.database.job_states import ENDED
from node.database.jobs import JobState
from node.database.states import AssociationOutcome
from node.models.versions import Versions, constructed, placed
from node.receive.status import Status
from node.status.connections import Connections, Reason, Refusals
from node.status.overview import Disk
from pipelines.registry import UnknownPipeline

log = logging.getLogger(__name__)

READ_CERTIFICATES_S = 300.0  # a bundle of authorities takes longer than all the rest


class Metrics(Collector):
    """Collects at each scrape; without its database a node still says what it has counted.

    Parameters
    ----------
    configuration
        Routes, destinations, certificates and the data folder.
    database
        The node's database.
    connections
        To the page's port.
    readiness
        What must work for the node to be ready, by name: why it does not, or None.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        connections: Connections,
        readiness: Callable[[], Mapping[str, str | None]],
    ) -> None:
        self._configuration, self._database = configuration, database
        self._connections, self._readiness = connections, readiness
        self._ends: dict[str, datetime] = {}
        self._certificates_read = float("-inf")
        self._models = _Models(configuration, database)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        routes = configuration.routes
        self._pipelines = sorted({route.pipeline for route in routes.values()})
        metrics.begin(
            ((name, route.pipeline) for name, route in routes.items()),
            configuration.destinations,
            [state.value for state in ENDED],
            [outcome.value for outcome in AssociationOutcome if outcome != AssociationOutcome.OPEN],
            [f"0x{status:04X}" for status in Status if status != Status.SUCCESS],
        )

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(metrics.REGISTRY) + generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not query the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures as of now, for Prometheus."""
        try:
            found, answers = self._records(datetime.now(UTC)), 1
        except SQLAlchemyError:
            found, answers = [], 0  # `condyle_part_ready` names the database
        yield GaugeMetricFamily("condyle_database_up", "Whether the node's database answers", answers)
        yield from found
        yield from self._ready()
        node, receive = self._configuration.node, self._configuration.receive
        disk = Disk.of(node.data, receive.disk_floor_mb)
        yield GaugeMetricFamily("condyle_disk_free_bytes", "Free on the file system of the node's data", disk.free)
        yield GaugeMetricFamily("condyle_disk_floor_bytes", "Below it new instances are refused", disk.floor)
        yield GaugeMetricFamily("condyle_disk_size_bytes", "Size of the file system of the node's data", disk.total)
        yield from self._certificates()
        yield GaugeMetricFamily("condyle_http_connections", "Open connections by HTTP", len(self._connections))
        yield _turned_away(self._connections.refusals)
        yield InfoMetricFamily("condyle_build", "The version of the node", {"version": version("condyle")})

    def _records(self, now: datetime) -> list[Metric]:
        """What the database says."""
        with Session(self._database) as session:
            return [
                *_queue(session, self._pipelines, now),
                *_outbox(session, list(self._configuration.destinations), now),
                *_reception(session),
                _heartbeats(session),
                self._models.family(),
            ]

    def _ready(self) -> Iterator[Metric]:
        parts = {name: why is None for name, why in self._readiness().items()}
        yield GaugeMetricFamily("condyle_ready", "Whether the node does all of its work", int(all(parts.values())))
        family = GaugeMetricFamily("condyle_part_ready", "Whether a part of the node does its work", labels=["part"])
        for name, ready in parts.items():
            family.add_metric([name], int(ready))
        yield family

    def _certificates(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "condyle_certificate_expires_timestamp_seconds",
            "When a certificate of the configuration runs out",
            labels=["key"],
        )
        if time.monotonic() - self._certificates_read > READ_CERTIFICATES_S:
            self._ends = {one.key: one.ends for one in validities(self._configuration)}
            self._certificates_read = time.monotonic()
        for key, ends in self._ends.items():
            family.add_metric([key], ends.timestamp())
        yield family


class _Models:
    """What the routes run; the files of a version are looked at once, when it is new."""

    def __init__(self, configuration: Configuration, database: Database) -> None:
        self._routes = configuration.routes
        self._versions = Versions(database, configuration.node.data)
        self._known: dict[str, tuple[int | None, tuple[str, str]]] = {}  # by route: the row in force; version, weights

    def family(self) -> Metric:
        """One sample for each route, whose value is 1."""
        family = InfoMetricFamily(
            "condyle_model", "The model that a route runs", labels=["route", "pipeline", "shadow"]
        )
        for name, route in self._routes.items():
            row = self._versions.in_force(name)
            number = None if row is None else row.id
            if name not in self._known or self._known[name][0] != number:
                self._known[name] = number, self._look(name)
            said, weights = self._known[name][1]
            shadow = str(route.shadow).lower()
            family.add_metric([name, route.pipeline, shadow], {"version": said, "weights": weights})
        return family

    def _look(self, name: str) -> tuple[str, str]:
        """The version of the pipeline and the digest of its weights; empty where it cannot be made."""
        route = self._routes[name]
        try:
            settings = placed(self._versions.settings(name, route), self._versions.data)
            pipeline = constructed(route.pipeline, settings)
            return pipeline.version, pipeline.model.weights_digest
        except (ValidationError, OSError, ValueError, TypeError, UnknownPipeline) as error:
            log.warning("model cannot be read", extra={"route": name, "error": type(error).__name__})
            return "", ""


def _turned_away(refusals: Refusals) -> Metric:
    counter = CounterMetricFamily(
        "condyle_http_turned_away", "Connections and requests by HTTP that were not served", labels=["reason"]
    )
    counts = refusals.counts()
    for reason in get_args(Reason):
        counter.add_metric([reason], counts.get(reason, 0))
    return counter


def _reception(session: Session) -> Iterator[Metric]:
    given_up = "Images stored that are not read any more"
    yield GaugeMetricFamily("condyle_images_given_up", given_up, standing.images_given_up(session))
    if (last := standing.last_image(session)) is not None:
        said = "When the last image came, of those that are stored"
        yield GaugeMetricFamily("condyle_last_image_timestamp_seconds", said, last.timestamp())


def _queue(session: Session, pipelines: list[str], now: datetime) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("condyle_jobs", "Jobs that have not ended", labels=["pipeline", "state"])
    oldest = GaugeMetricFamily(
        "condyle_queue_oldest_seconds",
        "How long the first of the queued jobs has waited; 0: none is",
        labels=["pipeline"],
    )
    found = {(one.pipeline, one.state): one for one in standing.open_jobs(session)}
    # also those that are 0: an alert on a series that comes and goes is hard to write
    for pipeline in sorted({*pipelines, *(pipeline for pipeline, _ in found)}):
        for state in standing.OPEN:
            one = found.get((pipeline, state))
            jobs.add_metric([pipeline, state.value], one.count if one else 0)
            if state == JobState.QUEUED:
                oldest.add_metric([pipeline], max(0.0, (now - one.since).total_seconds()) if one else 0)
    yield jobs
    yield oldest


def _outbox(session: Session, destinations: list[str], now: datetime) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("condyle_outbox", "Objects on their way", labels=["destination", "state"])
    oldest = GaugeMetricFamily(
        "condyle_outbox_oldest_seconds",
        "Age of the job of the oldest object that waits; 0: none does",
        labels=["destination"],
    )
    up = GaugeMetricFamily(
        "condyle_destination_up", "0: nothing that was tried since its first failure was taken", labels=["destination"]
    )
    since = GaugeMetricFamily(
        "condyle_destination_failing_since_timestamp_seconds",
        "When the first of the tries failed after which something waits still",
        labels=["destination"],
    )
    found = {one.destination: one for one in standing.waiting(session, destinations)}
    failing = outbox.failing_since(session, now)
    for name in destinations:
        one, fails = found.get(name), failing.get(name)
        waiting.add_metric([name, "waiting"], one.objects if one else 0)
        oldest.add_metric([name], max(0.0, (now - one.since).total_seconds()) if one else 0)
        up.add_metric([name], 0 if fails and not fails[1] else 1)
        if fails:
            since.add_metric([name], fails[0].timestamp())
    yield from (waiting, oldest, up, since)


def _heartbeats(session: Session) -> Metric:
    family = GaugeMetricFamily(
        "condyle_executor_heartbeat_timestamp_seconds",
        "When a process that runs jobs reported last, by the database's clock",
        labels=["executor"],
    )
    for name, seen in standing.heartbeats(session).items():
        family.add_metric([name], seen.timestamp())
    return family
